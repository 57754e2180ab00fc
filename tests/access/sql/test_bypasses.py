"""No way around what somebody may see: each is refused, or answers as if what is hidden were something else."""

from __future__ import annotations

import re

import pytest

from rowkeeper.errors import FrameworkError
from tests.access.sql.bypasses import Case, cases
from tests.access.sql.world import ANN, CANARY, NUMBERS, World

REFUSED = {"RK-6095", "RK-6096", "RK-6098"}
FAILED = {"RK-6097", "RK-6099", "RK-3004", "RK-4003"}
CASES = list(cases())


def outcome(world: World, sql: str) -> tuple[str, object]:
    """What becomes of a query, and what is told of it."""
    try:
        answer = world.ask(sql)
    except FrameworkError as error:
        told = f"{error.code} {error.what} {error.hint}"
        return ("refused" if error.code in REFUSED else "failed" if error.code in FAILED else error.code), told
    return "answered", (answer.columns, answer.rows, answer.masked)


def twin_of(sql: str) -> str:
    """The same query of tables that differ in what is hidden."""
    return re.sub(r"\b(clients|paid)\b", r"\1_twin", sql)


def test_there_are_enough_of_them():
    """The claim is made of at least 150 distinct cases, and of each kind that the issue names."""
    assert len({case.sql for case in CASES}) >= 150


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_shows_nothing(world: World, case: Case):
    """It ends as it should, and neither answer nor error holds a value that is hidden.

    And what is hidden makes no difference: not to rows, their number and order, nor to whether there is an error. The
    same query of tables that differ in nothing else ends in the same.
    """
    becomes, told = outcome(world, case.sql)
    assert becomes == case.becomes, told
    shown = str(told)
    for typed in re.findall(r"CANARY[\w@.-]*|\d{5,}", case.sql):  # what the reader wrote is no secret to them
        shown = shown.replace(typed, "")
    assert CANARY not in shown
    assert not [number for number in NUMBERS if str(number) in shown]
    if becomes != "refused" and twin_of(case.sql) != case.sql:
        other, of_other = outcome(world, twin_of(case.sql))
        assert (becomes, _plain(told)) == (other, _plain(of_other))


def _plain(told: object) -> str:
    return re.sub(r"_twin\b", "", str(told))


def test_refusals_are_on_the_record(world: World):
    """A refused query leaves an entry that says so, without its text; one that is answered names its tables."""
    outcome(world, "SELECT word FROM vault")
    refused = world.space.ledger.audit.newest(1)[0]
    assert (refused.name, refused.event.action, refused.event.outcome) == (str(ANN), "data.query", "refused")
    assert "vault" not in str(refused.event)
    world.ask("SELECT count() FROM clients", purpose="billing")
    answered = world.space.ledger.audit.newest(1)[0]
    assert (answered.event.outcome, answered.event.purpose) == ("done", "billing")
    assert answered.event.on["tables"] == ["default.clients"]
