"""From a pipeline that silently stops to whoever has to know: real servers of HTTP and SMTP, a clock that is turned."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import timedelta

import pytest

from rowkeeper.ledger import RunStatus
from rowkeeper.operations.alerts import acknowledge, list_alerts, send_tests, show_rules, silence, unsilence
from tests.operations.alerts.conftest import MINUTE, Bench
from tests.operations.alerts.receiving import Hook, hook, mailbox

HOUR = 60 * MINUTE
RULE = """
disable = ["no-success", "run-failed", "health-bad", "health-warning", "notices-undelivered"]
[[rule]]
name = "flights-late"
no_success = { pipeline = "flights", within = "26h" }
severity = "critical"
"""
ROUTE = """
[[route]]
name = "ops"
to = "http://127.0.0.1:%d/hook"
repeat = "4h"
"""


def kinds(receiver: Hook) -> list[str]:
    return [each["kind"] for each in receiver.documents]


def test_a_pipeline_that_silently_stops_is_told_of(bench: Bench):
    """It fires, is brought once to mail and webhook, is repeated as set, and its end is told; each with its own id."""
    with hook() as ops, mailbox() as mail:
        mailto = (
            f'[[route]]\nname = "mail"\nto = "mailto://127.0.0.1:{mail.port}?to=ops@example.com&from=rk@example.com"'
        )
        bench.declare(RULE + ROUTE % ops.port + mailto)
        bench.run("flights", RunStatus.PUBLISHED)
        bench.look(25 * HOUR)
        assert (ops.asked, mail.messages) == ([], [])
        bench.look(2 * HOUR)
        bench.look(HOUR)
        assert (kinds(ops), len(mail.messages)) == (["firing"], 1)
        bench.look(3 * HOUR)
        assert (kinds(ops), len(mail.messages)) == (["firing", "repeat"], 2)
        bench.run("flights", RunStatus.UNCHANGED)
        bench.look(MINUTE)
        bench.look(MINUTE)
    assert kinds(ops) == ["firing", "repeat", "resolved"]
    (told,) = ops.documents[0]["alerts"]
    assert (told["rule"], told["subject"], told["severity"]) == ("flights-late", "flights", "critical")
    assert "no success of flights within 1d2h: its last success was run 1" in told["told"]
    assert len({each["id"] for each in ops.documents}) == 3
    subjects = [str(each["subject"]) for each in mail.messages]
    assert subjects == [f"[critical] flights-late flights: {each}" for each in ("firing", "still firing", "resolved")]
    assert "its last success was run 1" in " ".join(mail.messages[0].get_content().split())


def test_a_pipeline_that_nobody_ever_ran_is_told_of(bench: Bench):
    """Neither a run nor a schedule nor a worker has to be there: the ledger is old enough."""
    bench.declare(RULE)
    assert bench.firing(25 * HOUR) == {}
    assert bench.firing(2 * HOUR) == {
        "flights-late flights": "no success of flights within 1d2h: it has never succeeded"
    }


def test_a_receiver_that_is_down_loses_nothing(bench: Bench):
    """All waits in its order, is tried less and less often, and comes when it is back; each attempt is on record."""
    with hook() as gone:
        port = gone.port
    bench.declare(RULE + ROUTE % port)
    bench.look(27 * HOUR)
    for _ in range(2):
        bench.look(10 * MINUTE)
    bench.run("flights", RunStatus.PUBLISHED)
    bench.look(MINUTE)
    (waiting,) = list_alerts(bench.space).backlog
    assert (waiting[0], waiting[2]) == ("ops", 2)
    with hook(port=port) as back:
        bench.look(15 * MINUTE)
        assert kinds(back) == ["firing", "resolved"]
    attempts = show_rules(bench.space).deliveries
    assert [each.outcome for each in attempts[:2]] == ["delivered", "delivered"]
    assert {each.outcome for each in attempts[2:]} == {"failed"}
    assert list_alerts(bench.space).backlog == ()


def test_a_receiver_that_refuses_is_an_alert_of_its_own(bench: Bench):
    """Told to the others: what it answers is on record by its number alone, and no secret is in the record."""
    with hook() as bad, hook() as good:
        bad.answers = lambda _: (403, {}, b"you said token 12345")
        routes = ROUTE % bad.port + (ROUTE % good.port).replace('"ops"', '"boss"')
        bench.declare(RULE.replace(', "notices-undelivered"', "") + routes)
        bench.look(27 * HOUR)
        bench.look(20 * MINUTE)
        (told,) = [each for each in good.documents if each["group"] == {"rule": "notices-undelivered"}]
    assert told["alerts"][0]["subject"] == "route ops"
    assert "127.0.0.1 answered 403" in told["alerts"][0]["told"]
    assert "12345" not in json.dumps(told)


def test_what_is_acknowledged_is_neither_repeated_nor_escalated(bench: Bench):
    """Until it is over, which is told; without it, the boss hears of it after the time."""
    with hook() as ops, hook() as boss:
        escalate = 'escalate = { after = "30m", to = "boss" }\n'
        bench.declare(RULE + ROUTE % ops.port + escalate + (ROUTE % boss.port).replace('"ops"', '"boss"'))
        bench.look(27 * HOUR)
        bench.look(29 * MINUTE)
        assert kinds(boss) == []
        bench.look(2 * MINUTE)
        assert kinds(boss) == ["firing"]
        (alert,) = list_alerts(bench.space).alerts
        assert acknowledge(bench.space, alert.id[:8], "I look").acked_by.startswith("os:")
        bench.look(9 * HOUR)
        assert (kinds(ops), kinds(boss)) == (["firing"], ["firing"])
        bench.run("flights", RunStatus.PUBLISHED)
        bench.look(MINUTE)
    assert (kinds(ops), kinds(boss)) == (["firing", "resolved"], ["firing", "resolved"])


def test_a_silence_keeps_quiet_and_what_still_fires_afterwards_is_told(bench: Bench):
    """Set and taken back on the record."""
    with hook() as ops:
        bench.declare(RULE + ROUTE % ops.port)
        made = silence(bench.space, ["pipeline=flights"], bench.now + timedelta(days=30), "it is being moved")
        bench.look(27 * HOUR)
        assert ops.asked == []
        assert list_alerts(bench.space).alerts[0].silenced_by == f"silence {made.number}"
        unsilence(bench.space, made.number)
        bench.look(MINUTE)
        assert kinds(ops) == ["firing"]
    entries = [entry.event.action for entry in _entries(bench)]
    assert entries[-2:] == ["alert.silence", "alert.unsilence"]


def _entries(bench: Bench):
    from rowkeeper.operations.auditing import list_entries

    return [each for each in list_entries(bench.space, limit=50) if each.event.action.startswith("alert.")]


def test_the_watchdog_is_sent_every_so_often_and_does_not_pile_up(bench: Bench):
    """Also in a window for everything; a receiver that was away gets the newest, not all of them."""
    window = '[[window]]\nname = "always"\nbegins = "every 1h"\nlasts = "2h"\n'
    with hook() as ops:
        port = ops.port
        bench.declare(RULE + window + '[watchdog]\nevery = "5m"\nto = ["ops"]\n' + ROUTE % port)
        for _ in range(4):
            bench.look(3 * MINUTE)
        assert kinds(ops) == ["watchdog", "watchdog"]
    for _ in range(3):
        bench.look(6 * MINUTE)
    with hook(port=port) as back:
        bench.look(15 * MINUTE)
        assert kinds(back) == ["watchdog"]


def test_alerts_of_one_group_are_told_together(bench: Bench):
    """One notice for ten pipelines; one more when another joins them."""
    with hook() as ops:
        bench.declare(RULE.replace('"flights"', '"*"') + ROUTE % ops.port)
        for number in range(10):
            bench.run(f"p{number}", RunStatus.PUBLISHED)
        bench.run("later", RunStatus.PUBLISHED, at=bench.now + HOUR)
        bench.look(26 * HOUR + MINUTE)
        bench.look(HOUR)
    assert [len(each["alerts"]) for each in ops.documents] == [10, 11]


def test_a_webhook_is_signed_so_that_any_library_checks_it(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    """By standardwebhooks.com, with the key behind the prefix."""
    key = b"k" * 24
    monkeypatch.setenv("HOOK_KEY", "whsec_" + base64.b64encode(key).decode())
    with hook() as ops:
        bench.declare(RULE + ROUTE % ops.port + 'secret = "env:HOOK_KEY"')
        (sent,) = send_tests(bench.space, declared=bench.declared)
    assert sent.error is None
    (asked,) = ops.asked
    signed = f"{asked.headers['webhook-id']}.{asked.headers['webhook-timestamp']}.".encode() + asked.body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert asked.headers["webhook-signature"] == f"v1,{expected}"
    assert asked.json["id"] == asked.headers["webhook-id"] == sent.notice.id


def test_an_answer_that_may_pass_is_asked_again_at_once(bench: Bench):
    """503 is tried a second time in the same attempt; the notice has the same id."""
    with hook() as ops:
        answers = iter([(503, {}, b""), (200, {}, b"")])
        ops.answers = lambda _: next(answers)
        bench.declare(RULE + ROUTE % ops.port)
        bench.look(27 * HOUR)
    assert len({each["id"] for each in ops.documents}) == 1
    assert len(ops.asked) == 2


def test_a_notice_of_a_route_that_is_gone_is_given_up(bench: Bench):
    """It does not stand in the way for ever, and is on record."""
    with hook() as ops:
        bench.declare(RULE + ROUTE % ops.port)
        bench.look(27 * HOUR, send=False)
        bench.declare(RULE)
        bench.look(MINUTE)
    assert (ops.asked, list_alerts(bench.space).backlog) == ([], ())
    assert "no longer there" in show_rules(bench.space).deliveries[0].told


@pytest.mark.parametrize("code", [451, 550])
def test_a_mail_server_that_refuses_is_told_by_its_number(bench: Bench, code: int):
    """Not by its words, which quote addresses."""
    with mailbox() as mail:
        mail.refuses = code
        bench.declare(
            RULE + f'[[route]]\nname = "mail"\nto = "mailto://127.0.0.1:{mail.port}?to=a@b.example&from=c@b.example"'
        )
        (sent,) = send_tests(bench.space, declared=bench.declared)
    assert sent.error is not None
    assert sent.error.what == f"the mail server 127.0.0.1: refused with {code}"
    assert mail.messages == []
