"""What an API refuses: row by row, as a whole, for its size; it goes to quarantine with the answer, and the account
balances, whatever dies.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from rowkeeper.testing import Ended
from tests.arena import Arena
from tests.destinations.api.store import Store
from tests.sources.api.shop import Said

KILLED = -9
NUMBERS = itertools.count()
ITEMS = 'results=rk.destinations.ItemResults("$.items[*]", message="$.error.message"),'
ERRORS = 'results=rk.destinations.ItemErrors("$.errors[*]", index="$.row"),'
PIPELINE = """
import rowkeeper as rk
from pydantic import BaseModel

class Row(BaseModel):
    id: int
    name: str

{name} = rk.Pipeline(
    "{name}",
    source=rk.sources.files("{name}/*.ndjson"),
    contract=Row,
    destination=rk.destinations.api(
        "https://localhost:{port}/{name}",
        tls=rk.TLS(ca="{ca}"),
        batch_rows=10,
        {options}
        resilience=rk.Resilience(
            retry=rk.Retry(attempts=3, wait_seconds_initial=0.01, wait_seconds_max=0.02, attempt_seconds_max=5.0),
            breaker=None,
        ),
    ),
)
"""


@dataclasses.dataclass
class Orders:
    """One pipeline into the store."""

    arena: Arena
    store: Store
    ca: Path
    name: str
    options: str = ""

    def offer(self, count: int, first: int = 0, file: str = "rows") -> None:
        folder = self.arena.folder / self.name
        folder.mkdir(exist_ok=True)
        lines = [json.dumps({"id": number, "name": f"name {number}"}) for number in range(first, first + count)]
        (folder / f"{file}.ndjson").write_text("\n".join(lines) + "\n")

    def declare(self) -> None:
        text = PIPELINE.format(name=self.name, port=self.store.server_port, ca=self.ca, options=self.options)
        (self.arena.folder / f"{self.name}.py").write_text(text)

    def run(self, failpoints: str = "") -> Ended:
        self.declare()
        return self.ask("run", f"{self.name}.py", "--json", failpoints=failpoints)

    def ask(self, *words: str, failpoints: str = "") -> Ended:
        ended = self.arena.run(*words, failpoints=failpoints)
        return Ended(ended.status, ended.stdout, ended.stderr)

    @property
    def last(self) -> dict[str, Any]:
        """The run that was begun last."""
        found = self.ask("runs", "--pipeline", self.name, "--json").document["runs"]
        return max(found, key=lambda each: each["run"])

    @property
    def published(self) -> dict[str, Any]:
        """The one run that was published."""
        found = self.ask("runs", "--pipeline", self.name, "--json").document["runs"]
        (run,) = [each for each in found if each["status"] == "published"]
        return run

    def journals(self, run: int) -> list[Path]:
        return list((self.arena.home / "deliveries").rglob(f"{run}.jsonl"))

    @property
    def taken(self) -> list[int]:
        return [row["id"] for row in self.store.taken.get(self.name, [])]


@pytest.fixture
def orders(arena: Arena, store: Store, ca: Path) -> Orders:
    return Orders(arena, store, ca, f"orders_{next(NUMBERS)}")


def no_sevens(row: dict[str, object]) -> tuple[int, str] | None:
    return (422, f"no {row['name']}") if int(str(row["id"])) % 10 == 7 else None


@pytest.mark.parametrize(("told", "options"), [("items", ITEMS), ("errors", ERRORS), ("whole", "")])
def test_refused_rows_go_to_quarantine_with_the_answer(orders: Orders, told: str, options: str) -> None:
    """By a 207, by a list of errors, or a batch refused as a whole and parted until the rows at fault stand alone."""
    orders.options, orders.store.told, orders.store.refuses = options, told, no_sevens
    orders.offer(30)
    ended = orders.run()
    assert ended.status == 0, ended
    account = ended.document["account"]
    assert (account["read"], account["committed"], account["quarantined"]) == (30, 27, 3)
    assert sorted(orders.taken) == [each for each in range(30) if each % 10 != 7]
    run = str(ended.document["run"])
    shown = orders.ask("quarantine", "show", run, "--json").document
    assert "422: " in json.dumps(shown)
    assert "no name 17" in json.dumps(shown)
    assert ended.document["fingerprint"].startswith("rk1-27-")
    orders.store.refuses = lambda row: None
    replayed = orders.ask("quarantine", "replay", run, "--json")
    assert replayed.status == 0, replayed.stdout
    assert replayed.document["account"]["committed"] == 3, replayed
    assert sorted(orders.taken) == list(range(30))


def test_a_batch_that_is_too_large_is_sent_in_halves(orders: Orders) -> None:
    """413 is answered by smaller batches under keys of their own; a row that is too large alone goes to quarantine."""
    orders.store.bytes_max = 150
    orders.offer(20)
    folder = orders.arena.folder / orders.name
    (folder / "wide.ndjson").write_text(json.dumps({"id": 99, "name": "w" * 500}) + "\n")
    ended = orders.run()
    assert ended.status == 0, ended
    assert sorted(orders.taken) == list(range(20))
    assert ended.document["account"]["quarantined"] == 1
    assert max(len(asked.body) for asked in orders.store.asked) > 150


def test_rows_that_are_put_off_are_sent_again(orders: Orders) -> None:
    """A 429 for single rows of a batch: these are sent again alone, under another key, and no others."""
    put_off = {3, 14}

    def busy(row: dict[str, object]) -> tuple[int, str] | None:
        if row["id"] in put_off:
            put_off.discard(int(str(row["id"])))
            return 429, "later"
        return None

    orders.options, orders.store.told, orders.store.refuses = ITEMS, "items", busy
    orders.offer(20)
    ended = orders.run()
    assert ended.document["account"]["committed"] == 20, ended
    assert sorted(orders.taken) == list(range(20))


def test_an_api_that_takes_no_row_is_told_before_all_are_in_quarantine(orders: Orders) -> None:
    """Twenty rows refused one by one and none taken: the run stops, nothing is published, and it can be run again."""
    orders.store.refuses = lambda row: (400, "unknown field name")
    orders.offer(200)
    ended = orders.run()
    assert ended.status == 1
    assert "RK-3122" in ended.stdout + ended.stderr
    assert len(orders.store.asked) < 60
    orders.store.refuses = lambda row: None
    again = orders.run()
    assert again.document["account"]["committed"] == 200, again
    assert sorted(orders.taken) == list(range(200))


def test_207_without_a_word_of_where_results_are_is_not_believed(orders: Orders) -> None:
    """The batch may be taken in part, and nobody can know: the run stops; once declared, it goes on under its keys."""
    orders.store.told, orders.store.refuses = "items", no_sevens
    orders.offer(20)
    ended = orders.run()
    assert ended.status == 1
    assert "RK-3141" in ended.stdout + ended.stderr
    assert orders.last["status"] == "prepared"
    orders.options = ITEMS
    assert orders.run().status == 0
    account = orders.published["account"]
    assert (account["committed"], account["quarantined"]) == (18, 2)
    keys = [asked.headers["idempotency-key"] for asked in orders.store.asked]
    assert keys[0] in keys[1:]


@pytest.mark.parametrize(
    "point", ["publish.after_note@1", "publish.after_answer@2", "run.after_refusals", "run.after_amend"]
)
def test_killed_while_rows_are_refused_nothing_is_sent_or_counted_twice(orders: Orders, point: str) -> None:
    """SIGKILL between answer, note, quarantine and ledger: the next command leaves what an undisturbed run leaves."""
    orders.options, orders.store.told, orders.store.refuses = ITEMS, "items", no_sevens
    orders.offer(30)
    name, _, nth = point.partition("@")
    assert orders.run(failpoints=f"{name}=kill{'@' + nth if nth else ''}").status == KILLED
    assert orders.run().status == 0
    run = orders.published
    account = run["account"]
    assert (account["read"], account["committed"], account["quarantined"]) == (30, 27, 3)
    assert sorted(orders.taken) == [each for each in range(30) if each % 10 != 7]
    assert orders.ask("quarantine", "show", str(run["run"]), "--json").status == 0
    assert not orders.journals(run["run"])


def test_what_is_half_sent_can_only_go_forward(orders: Orders) -> None:
    """`recover --discard` of a run of which batches were taken sends the rest: there is no way back."""
    orders.offer(30)
    assert orders.run(failpoints="publish.after_note=kill@2").status == KILLED
    assert len(orders.taken) == 20
    recovered = orders.ask("recover", "--discard", "--json")
    assert recovered.status == 0, recovered
    assert orders.taken == list(range(30))
    assert orders.run().document["account"]["read"] == 0


def test_what_a_recorded_run_left_behind_goes_with_the_next_one(orders: Orders) -> None:
    """Killed between record and clearing up, the run is published, and its journal does not stay for ever."""
    orders.offer(5)
    assert orders.run(failpoints="publish.before_forget=kill").status == KILLED
    run = orders.published["run"]
    assert orders.journals(run)
    assert orders.run().status == 0
    assert not orders.journals(run)
    assert orders.taken == list(range(5))


def test_what_was_not_sent_can_be_discarded(orders: Orders) -> None:
    """A run that died before its first batch was sent is as if it had not been published."""
    orders.offer(5)
    assert orders.run(failpoints="publish.after_journal=kill").status == KILLED
    recovered = orders.ask("recover", "--discard", "--json")
    assert recovered.status == 0, recovered
    assert orders.taken == []
    assert orders.run().document["account"]["committed"] == 5


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        ('body="lines",', "application/x-ndjson"),
        ('body="object", beside={"source": "rowkeeper"},', "application/json"),
        ('body="single",', "application/json"),
    ],
)
def test_rows_are_sent_in_the_form_that_is_declared(orders: Orders, form: str, kind: str) -> None:
    """NDJSON, an object around them, or one row at a time."""
    orders.options = form
    orders.offer(12)
    assert orders.run().document["account"]["committed"] == 12
    assert orders.taken == list(range(12))
    assert {asked.headers["content-type"] for asked in orders.store.asked} == {kind}
    if "object" in form:
        assert {asked.json["source"] for asked in orders.store.asked} == {"rowkeeper"}
    if "single" in form:
        assert len(orders.store.asked) == 12


def test_the_same_batch_has_the_same_key_whatever_process_sends_it(orders: Orders) -> None:
    """A batch that was taken and whose answer was lost with its process is sent again under its key, to the letter."""
    orders.offer(20)
    assert orders.run(failpoints="publish.after_answer=kill@2").status == KILLED
    assert orders.run().status == 0
    keys = [asked.headers["idempotency-key"] for asked in orders.store.asked]
    assert len(keys) == 3
    assert keys[1] == keys[2]
    assert orders.store.asked[1].body == orders.store.asked[2].body
    assert orders.taken == list(range(20))


def test_no_row_and_no_answer_is_in_the_journal(orders: Orders) -> None:
    """What lies in the clear in the state folder says how many and which, and nothing of what is in them."""
    orders.options, orders.store.told, orders.store.refuses = ITEMS, "items", no_sevens
    orders.offer(30)
    assert orders.run(failpoints="run.after_publish=kill").status == KILLED
    (journal,) = orders.journals(orders.last["run"])
    assert "name" not in journal.read_text().replace('"documents"', "")
    assert journal.stat().st_mode & 0o077 == 0
    assert orders.run().status == 0


def test_what_an_api_lacks_is_refused_before_anything_is_sent(orders: Orders) -> None:
    """Taking a run back and verifying are one clear error each."""
    orders.offer(3)
    run = str(orders.run().document["run"])
    for words in (("rollback", run), ("verify", f"{orders.name}.py")):
        ended = orders.ask(*words, "--json")
        assert ended.status == 1
        assert "RK-3120" in ended.stdout + ended.stderr
    assert orders.taken == [0, 1, 2]


def answered_twice() -> Said:
    return Said({"items": [{"status": 201}, {"status": 201}]}, status=207)


def test_results_that_do_not_fit_what_was_sent_are_not_believed(orders: Orders) -> None:
    """Too few results, or of rows that were not sent: what became of the batch is not known."""
    orders.options = ITEMS
    orders.store.after = lambda asked: answered_twice()
    orders.offer(3)
    ended = orders.run()
    assert ended.status == 1
    assert "RK-3141" in ended.stdout + ended.stderr
    orders.store.after, orders.store.told = lambda asked: None, "items"
    orders.store.keys.clear()
    orders.store.taken.clear()
    assert orders.run().status == 0
    assert orders.taken == [0, 1, 2]
