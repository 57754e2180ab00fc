"""Randomised ciphertexts and exactly once: killed anywhere and run again, every row is there once and is revealed."""

from __future__ import annotations

import pytest

from tests import extent
from tests.arena import KILLED, Arena

PIPELINE = """
from typing import Annotated
from pydantic import BaseModel
import rowkeeper as rk

class Person(BaseModel):
    id: Annotated[int, rk.Classified("pii.id"), rk.{key}()]
    mail: Annotated[str, rk.Classified("pii.mail"), rk.{method}()]
    city: str

{name} = rk.Pipeline(
    "{name}",
    source=rk.sources.files("{name}/*.csv", on_change="reload"),
    contract=Person,
    destination=rk.destinations.clickhouse("{name}", order_by=["city"]{options}),
)
"""
MODES = {
    "appended": "",
    "merged": ', write="merge", key=["id"]',
    "skipped": ', duplicates="skip", key=["id"]',
}
# Before and after each step at which a batch may have been encrypted, and what came of it may be lost or kept.
TRIES = 3
POINTS = [
    "run.after_start",
    "stage.before_insert@2",
    "stage.after_insert@2",
    "run.after_stage@2",
    "ledger.before_commit:note_batch@2",
    "ledger.after_commit:note_batch@2",
    "run.after_seal",
    "run.after_prepare",
    "run.after_publish",
]


def people(first: int, count: int, *, domain: str = "a.example") -> str:
    """Every tenth one is there twice."""
    numbers = sorted([*range(first, first + count), *range(first, first + count, 10)])
    return "id,mail,city\n" + "".join(f"{number},{number}@{domain},City{number % 7}\n" for number in numbers)


def declare(arena: Arena, name: str, mode: str, *, method: str = "Encrypt", key: str = "EncryptJoinable") -> None:
    text = PIPELINE.format(name=name, options=MODES[mode], method=method, key=key)
    arena.write(f"{name}.py", text)


def feed(arena: Arena, name: str) -> None:
    """Two files of more than one insert each, which have ids in common."""
    arena.write(f"{name}/a.csv", people(0, 70))
    arena.write(f"{name}/b.csv", people(50, 70))


def revealed(arena: Arena, name: str) -> list[tuple[str, str]]:
    """What the table holds, in the clear."""
    mails, ids = arena.answers(
        ("reveal", name, "--column", "mail", "--limit", "1000", "--reason", "test"),
        ("reveal", name, "--column", "id", "--limit", "1000", "--reason", "test"),
    )
    assert len(mails["rows"]) == len(ids["rows"])
    return sorted((str(each["id"]), mail["mail"]) for each, mail in zip(ids["rows"], mails["rows"], strict=True))


@pytest.mark.in_turns("modes", 1)
@pytest.mark.parametrize("mode", MODES)
def test_killed_and_run_again_nothing_is_lost_or_doubled(arena: Arena, mode: str):
    """What is staged anew has other ciphertexts; what is published is the same in the clear, and sound by the books."""
    calm = f"calm_{mode}"
    declare(arena, calm, mode)
    feed(arena, calm)
    expected = arena.ok("run", f"{calm}.py")["account"]
    wanted = revealed(arena, calm)
    tried = POINTS if extent.whole else extent.sample(f"kills of what is protected, {mode}", POINTS, TRIES)
    for number, point in enumerate(tried):
        name = f"killed_{mode}_{number}"
        declare(arena, name, mode)
        feed(arena, name)
        word, _, nth = point.partition("@")
        outcome = arena.run("run", f"{name}.py", failpoints=f"{word}=kill@{nth or 1}")
        assert outcome.status == KILLED, (point, outcome)
        _, runs, verified = arena.answers(("run", f"{name}.py"), ("runs", "--pipeline", name), ("verify", f"{name}.py"))
        assert [run["account"] for run in runs["runs"] if run["status"] == "published"] == [expected], point
        assert verified["sound"], point
        assert revealed(arena, name) == wanted, point


def test_a_changed_file_takes_the_place_of_its_former_rows(arena: Arena):
    """Although no ciphertext of it is what it was: rows are known by their address, not by their bytes."""
    declare(arena, "changed", "appended")
    arena.write("changed/a.csv", people(0, 20))
    arena.ok("run", "changed.py")
    before = arena.ok("query", "SELECT mail FROM changed")["rows"]
    arena.write("changed/a.csv", people(0, 20) + "99,99@a.example,Oslo\n")
    arena.ok("run", "changed.py")
    after = arena.ok("query", "SELECT mail FROM changed")["rows"]
    assert len(after) == len(before) + 1
    assert not {mail for (mail,) in before} & {mail for (mail,) in after}
    assert arena.ok("verify", "changed.py")["sound"]


@pytest.mark.parametrize("key", ["Pseudonymise", "EncryptJoinable"])
def test_a_merge_finds_its_rows_by_their_protected_key(arena: Arena, key: str):
    """The row of a key takes the place of the former one, run after run."""
    name = f"by_{key.lower()}"
    declare(arena, name, "merged", key=key)
    arena.write(f"{name}/a.csv", people(0, 10))
    arena.ok("run", f"{name}.py")
    arena.write(f"{name}/b.csv", people(5, 10, domain="b.example"))
    arena.ok("run", f"{name}.py")
    rows = arena.ok("reveal", name, "--column", "mail", "--limit", "100", "--reason", "test")["rows"]
    assert sorted(each["mail"] for each in rows) == sorted(
        f"{number}@{'a' if number < 5 else 'b'}.example" for number in range(15)
    )


def test_tables_of_one_purpose_join(arena: Arena):
    """Over pipelines, as ClickHouse joins: by the protected values."""
    for name in ("left", "right"):
        declare(arena, name, "appended", key="Pseudonymise")
        arena.write(f"{name}/a.csv", people(0 if name == "left" else 8, 10).replace("0,0@a.example,City0\n", "", 1))
        arena.ok("run", f"{name}.py")
    query = 'SELECT uniqExact(id) FROM "left" WHERE id IN (SELECT id FROM "right")'
    assert arena.ok("query", query)["rows"] == [[2]]


@pytest.mark.parametrize(
    ("before", "after", "status"),
    [("Encrypt", "EncryptJoinable", 2), ("Redact", "Encrypt", 2), ("Encrypt", "Encrypt", 0)],
)
def test_a_table_keeps_its_protections(arena: Arena, before: str, after: str, status: int):
    """One column does not hold values of two kinds: the run is refused before a row is read."""
    name = f"kept_{before}_{after}".lower()
    declare(arena, name, "appended", method=before)
    arena.write(f"{name}/a.csv", people(0, 10))
    arena.ok("run", f"{name}.py")
    declare(arena, name, "appended", method=after)
    arena.write(f"{name}/b.csv", people(20, 10))
    outcome = arena.run("run", f"{name}.py", "--json")
    assert outcome.status == status, outcome
    if status:
        assert outcome.json["error"]["code"] == "RK-6032"
        assert len(arena.ok("query", f"SELECT 1 FROM {name}")["rows"]) == 11
        text = (arena.folder / f"{name}.py").read_text()
        arena.write(f"{name}.py", text.replace('order_by=["city"]', 'order_by=["city"], write="replace"'))
        assert arena.ok("run", f"{name}.py")["account"]["committed"] == 22


def test_a_policy_is_for_all_pipelines(own_arena: Arena):
    """By the file in the working folder, or the one that is set; refused before a row is read, and then obeyed."""
    own_arena.write(
        "bare.py", PIPELINE.format(name="bare", key="Pseudonymise", method="X", options="").replace(", rk.X()", "")
    )
    own_arena.write("bare/a.csv", people(0, 5))
    own_arena.write("rowkeeper.policy.toml", "require_protection = true\n")
    refused = own_arena.run("run", "bare.py", "--json")
    assert (refused.status, refused.json["error"]["code"]) == (2, "RK-6030")
    assert own_arena.ok("runs")["runs"] == []
    own_arena.write("strict.toml", '[[protect]]\nclassification = "pii"\nmethod = "redact"\nrequire = 1\n')
    broken = own_arena.run("run", "bare.py", "--json", env={"ROWKEEPER_POLICY_FILE": "strict.toml"})
    assert (broken.status, broken.json["error"]["code"]) == (2, "RK-6031")
    own_arena.write("strict.toml", '[[protect]]\nclassification = "pii"\nmethod = "redact"\n')
    own_arena.env["ROWKEEPER_POLICY_FILE"] = "strict.toml"
    own_arena.ok("run", "bare.py")
    assert {row[0] for row in own_arena.ok("query", "SELECT mail FROM bare")["rows"]} == {"[redacted]"}


def test_values_that_cannot_be_protected_reject_their_rows(arena: Arena):
    """Without a transform they go to quarantine; what a transform made of them fails the run."""
    text = PIPELINE.format(name="form", key="Pseudonymise", method="FormatPreserving", options="")
    arena.write("form.py", text)
    arena.write("form/a.csv", "id,mail,city\n1,12345678,Oslo\n2,123,Bern\n3,none,Rome\n")
    run = arena.ok("run", "form.py")
    assert (run["account"]["committed"], run["account"]["quarantined"]) == (1, 2)
    assert run["reasons"] == {"mail: rk_unprotectable": 2}
    transform = "def cut(rows):\n    return rows\n\nform2 = rk.Pipeline(\n    transform=cut,\n    name="
    arena.write("form2.py", text.replace("form", "form2").replace("form2 = rk.Pipeline(\n    ", transform, 1))
    arena.write("form2/a.csv", "id,mail,city\n1,12345678,Oslo\n2,123,Bern\n")
    refused = arena.run("run", "form2.py", "--json")
    assert (refused.status, refused.json["error"]["code"]) == (1, "RK-2201"), refused
    assert "123" not in refused.stdout.replace("12345678", "")
