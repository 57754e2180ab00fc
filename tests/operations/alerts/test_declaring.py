"""The alerts file: what is wrong in it is told at its line, with the nearest right word, and no secret stands in it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from rowkeeper.errors import AlertsUnusable, RouteUnsupported, SecretLiteral
from rowkeeper.operations.alerts import Declared
from rowkeeper.operations.alerts.builtin import BUILT_IN
from rowkeeper.operations.alerts.declaring import FILE

FIRST = '[[rule]]\nname = "first"\nrun_failed = {}\n\n'
ROUTE = '[[route]]\nname = "ops"\nto = "%s"\n'


def read(text: str) -> Declared:
    return Declared.of(tomllib.loads(text), text, Path("a.toml"))


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("rules = 1", "a.toml: rules is nothing that an alerts file has", "rule"),
        (
            FIRST + '[[rule]]\nname = "x"\nrun_faild = {}',
            "a.toml:7: run_faild is nothing that a rule has",
            "run_failed",
        ),
        (FIRST + '[[rule]]\nname = "x"', "a.toml:5: rule x has no condition", "no_success"),
        (FIRST + '[[rule]]\nname = "x"\nno_success = { withn = "2h" }', "a.toml:7: withn is nothing", "within"),
        (FIRST + '[[rule]]\nname = "x"\nno_success = { within = "soon" }', "within is no span of time", "26h"),
        (FIRST + '[[rule]]\nname = "x"\nseverity = "bad"\nrun_failed = {}', "a.toml:7: severity = 'bad'", "warning"),
        (FIRST + '[[rule]]\nname = "first"\nrun_held = {}', "a.toml:6: there is another rule first", "name of its own"),
        (
            '[[rule]]\nname = "x"\nmetric = { name = "rowkeeper_runs_opn", above = 3 }',
            "no metric",
            "rowkeeper_runs_open",
        ),
        ('[[rule]]\nname = "x"\nhealth = { state = "awful" }', "'awful'", "bad"),
        ('[[rule]]\nname = "x"\nevent = { class = "authentification" }', "class", "authentication"),
        ('disable = ["run-slo"]', "'run-slo' is no built-in rule", "run-slow"),
        (ROUTE % "ops.example.com", "a.toml:3: to of route ops is no URL", "https://"),
        (ROUTE % "https://h/" + 'match = ["sverity=critical"]', "a.toml:4: match: an alert", "severity"),
        (ROUTE % "https://h/" + 'group_by = ["pipelin"]', "an alert is not known by 'pipelin'", "pipeline"),
        (ROUTE % "https://h/" + 'escalate = { after = "5m", to = "bos" }', "there is no other route 'bos'", ""),
        ('[watchdog]\nto = ["op"]\n' + ROUTE % "https://h/", "there is no route 'op'", "ops"),
        ('[[window]]\nname = "w"\nbegins = "0 2 * *"\nlasts = "1h"', "a.toml:3: begins", "Europe/Berlin"),
        ('[[window]]\nname = "w"\nbegins = "0 2 * * *"', "lasts is missing", "2h"),
        (ROUTE % "https://hooks.slack.com/services/{env:A}", "hooks.slack.com takes no plain JSON", "slack://"),
    ],
)
def test_what_is_wrong_is_told_at_its_line_with_the_nearest_word(text: str, what: str, hint: str):
    """One error, before anything is looked at."""
    with pytest.raises(AlertsUnusable) as caught:
        read(text)
    assert what in caught.value.what
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "https://user:hunter2secret@ops.example.com/hook",
        "https://ops.example.com/hook?token=hunter2secret",
        "mailtos://alerts:hunter2secret@mail.example.com?to=a@b.example",
        "slack://hunter2secret/{env:B}/{env:C}",
        "slack://{env:A}/{env:B}/hunter2secret/#channel",
        "discord://123/hunter2secret",
        "workflows://prod.westeurope.logic.azure.com/{env:FLOW}/hunter2secret",
        "gotifys://push.example.com/hunter2secret",
        "mmosts://chat.example.com/hunter2secret",
        "matrixs://hunter2secret@matrix.example.com/!room",
        "https://ops.example.com/{hunter2secret}",
    ],
)
def test_a_secret_that_is_written_out_is_refused(url: str):
    """Wherever its service has it in the URL; and it is not told."""
    with pytest.raises(SecretLiteral) as caught:
        read(ROUTE % url)
    assert "hunter2secret" not in f"{caught.value.what}{caught.value.hint}"
    assert caught.value.code == "RK-6010"


def test_a_literal_key_or_header_is_refused():
    """The key of signatures, and what a header authorises by."""
    with pytest.raises(SecretLiteral):
        read(ROUTE % "https://h/" + 'secret = "hunter2secret"')
    with pytest.raises(SecretLiteral):
        read(ROUTE % "https://h/" + 'headers = { Authorization = "Bearer hunter2secret" }')
    assert read(ROUTE % "https://h/" + 'headers = { Authorization = "Bearer {env:TOKEN}" }').routes


@pytest.mark.parametrize(
    "url", ["syslog://", "mqtt://h/topic", "xmpp://u@h", "sns://x", "jsons://h/?verify=no", "ntfy://t"]
)
def test_what_cannot_be_kept_on_the_leash_is_refused(url: str):
    """Services that connect in ways of their own, and parameters that take a leash off."""
    with pytest.raises(RouteUnsupported):
        read(ROUTE % url)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://ops.example.com/hook", "ops.example.com:443"),
        ("alertmanager+http://am.example.com:9093", "am.example.com:9093"),
        ("mailtos://u:{env:P}@mail.example.com?to=a@b.example", "mail.example.com:587"),
        ("mailtos://u:{file:/run/p}@example.com?smtp=smtp.example.com&mode=ssl&to=a@b.example", "smtp.example.com:465"),
        ("slack://{env:A}/{env:B}/{env:C}/#ops", "hooks.slack.com:443"),
        ("discord://{env:ID}/{env:TOKEN}", "discord.com:443"),
        ("ntfys://ntfy.sh/topic", "ntfy.sh:443"),
        ("workflows://x.logic.azure.com:443/{env:F}/{env:S}", "x.logic.azure.com:443"),
        ("matrix://u:{env:P}@m.example.com:8008/#room", "m.example.com:8008"),
    ],
)
def test_a_route_declares_the_host_that_it_leads_to(url: str, place: str):
    """So that it is reached, listed by `rowkeeper endpoints`, and let out by the firewall; secrets are not needed."""
    (endpoint,) = read(ROUTE % url).endpoints
    assert f"{endpoint.host}:{endpoint.port}" == place


def test_a_rule_takes_the_place_of_the_built_in_one_of_its_name():
    """And what is disabled is not looked at."""
    text = 'disable = ["run-slow"]\n[[rule]]\nname = "run-held"\nrun_held = { pipeline = "a*" }\nseverity = "critical"'
    found = {each.name: each for each in read(text).rules}
    assert set(found) == {each.name for each in BUILT_IN} - {"run-slow"}
    assert found["run-held"].severity.value == "critical"


def test_a_route_that_is_escalated_to_gets_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Unless it has matchers of its own; the file of the working folder is read by itself."""
    monkeypatch.chdir(tmp_path)
    assert Declared.load(None).path is None
    text = ROUTE % "https://h/" + 'escalate = { to = "boss" }\n' + (ROUTE % "https://h/").replace("ops", "boss")
    Path(FILE).write_text(text)
    assert [each.matchers for each in Declared.load(None).routes] == [(), None]
    Path(FILE).write_text(text + 'match = ["severity=critical"]')
    assert Declared.load(None).routes[1].matchers
    with pytest.raises(AlertsUnusable, match="cannot be read"):
        Declared.load(tmp_path / "none.toml")
    Path(FILE).write_text("x = ")
    with pytest.raises(AlertsUnusable, match="no TOML"):
        Declared.load(None)
