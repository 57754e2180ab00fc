"""A file of expectations is read strictly: a wrong word is told with its place, and with the right one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from rowkeeper.access.builtin import BUILT_IN_ROLES
from rowkeeper.access.expecting import Expectation, expectations_in
from rowkeeper.access.resource import of_pipeline
from rowkeeper.access.rowcondition import row_condition
from rowkeeper.access.words import given, granted_on, grantee, resource, until
from rowkeeper.caller import CallerKind
from rowkeeper.errors import ConfigurationError, GrantInvalid
from rowkeeper.ledger.users import User

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
ANN = User("ann", CallerKind.USER, frozenset({"viewer"}), NOON, None)
GOOD = {"who": '"role:viewer"', "action": '"run.show"', "on": '"run:flights/12"', "answer": '"allow"'}


def _read(path: Path, **changed: str | None) -> list[Expectation]:
    lines = [f"{name} = {value}" for name, value in {**GOOD, **changed}.items() if value is not None]
    path.write_text("\n".join(["[[expect]]", *lines]))
    return expectations_in(path, lambda _: ANN, [*BUILT_IN_ROLES])


def test_an_expectation_is_read(tmp_path: Path):
    """Who, what, on what, for what, and the answer."""
    (found,) = _read(tmp_path / "e.toml", purpose='"billing"', answer='"deny"')
    assert found.caller.roles == {"viewer"}
    assert found.caller.purpose == "billing"
    assert (found.resource.id, found.resource.within) == ("12", of_pipeline("flights"))
    assert found.allowed is False
    (found,) = _read(tmp_path / "e.toml", who='"user:ann"')
    assert (found.caller.name, found.caller.roles) == ("ann", {"viewer"})
    (found,) = _read(tmp_path / "e.toml", on='"column:orders.email"', labels='["pii"]', action='"column.clear"')
    assert (found.resource.id, found.resource.labels) == ("default.orders.email", {"pii"})


@pytest.mark.parametrize(
    ("changed", "told", "hint"),
    [
        ({"action": '"run.shw"'}, "expectation 1: there is no action run.shw", "did you mean run.show?"),
        ({"who": '"role:viewr"'}, "there is no role viewr", "did you mean viewer?"),
        ({"who": '"viewer"'}, "'viewer' is nobody", "user:NAME or role:NAME"),
        ({"who": '["user:ann", "role:viewer"]'}, "names a user and more", ""),
        ({"answer": '"yes"'}, "answer = 'yes'", "one of allow, deny"),
        ({"answer": None}, "answer is missing", ""),
        ({"anwser": '"deny"'}, "anwser is nothing that is expected", "did you mean answer?"),
        ({"on": '"runs:flights"'}, "names nothing", "did you mean run?"),
        ({"labels": '["pii"]'}, "of columns alone", ""),
        ({"protected": '"no"'}, "protected = 'no'", ""),
    ],
)
def test_a_wrong_word_is_told(tmp_path: Path, changed: dict[str, str | None], told: str, hint: str):
    """With the number of the expectation, and the word that was probably meant."""
    with pytest.raises(ConfigurationError) as raised:
        _read(tmp_path / "e.toml", **changed)
    assert told in raised.value.what
    assert hint in raised.value.hint


def test_a_file_that_expects_nothing(tmp_path: Path):
    """No test passes because there was nothing in it; no TOML, or no file, is told too."""
    file = tmp_path / "e.toml"
    for text in ("", "[expect]\n", "expect = []\n", "who ="):
        file.write_text(text)
        with pytest.raises(ConfigurationError):
            expectations_in(file, lambda _: ANN, [])
    with pytest.raises(ConfigurationError, match="cannot be read"):
        expectations_in(tmp_path / "missing.toml", lambda _: ANN, [])


def test_what_can_be_granted():
    """Each action on what it is done to, or what holds that; a table without a database is in the engine's own."""
    assert granted_on("pipeline:flights", *given("run.rollback")) == ("pipeline", "flights")
    assert granted_on("table:orders", *given("column.clear")) == ("table", "default.orders")
    assert granted_on("label:pii.email", *given("column.clear")) == ("label", "pii.email")
    assert granted_on("*", *given("audit.list")) == ("*", "*")
    assert granted_on("pipeline:flights", *given("role:operator")) == ("pipeline", "flights")
    for on, what in (
        ("table:orders", "run.rollback"),
        ("label:pii", "data.query"),
        ("pipeline:x", "audit.list"),
        ("flights", "run.show"),
        ("label:pii..x", "column.clear"),
        ("column:email", "column.clear"),
    ):
        with pytest.raises(GrantInvalid):
            granted_on(on, *given(what))


def test_who_and_what_are_words_that_are_known():
    """A misspelt one is nobody and nothing."""
    for text in ("ann", "users:ann", "user:", ":ann"):
        with pytest.raises(GrantInvalid):
            grantee(text)
    for text in ("run.shoe", "roles:viewer", "role:"):
        with pytest.raises(GrantInvalid):
            given(text)
    for text in ("", "run", "run:", "thing:x", "column:x"):
        with pytest.raises(GrantInvalid):
            resource(text)


def test_when_a_grant_ends():
    """A while from now, or a time to come; a time that is over is no end."""
    assert until("12h", NOON).hour == 0
    assert until("2027-01-31", NOON) == datetime(2027, 1, 31, tzinfo=UTC)
    assert until("2026-11-26T14:00+01:00", NOON).hour == 13
    for text in ("0d", "2026-11-26", "soon", "2026-13-01", "-1d"):
        with pytest.raises(GrantInvalid):
            until(text, NOON)


def test_a_row_filter_is_one_condition():
    """What is no whole expression of the table's own columns is refused; comments are not kept."""
    assert row_condition("region = 'EU' -- Ada's") == "region = 'EU'"
    assert row_condition("a = 1 or b = 2") == "a = 1 OR b = 2"
    for text in (
        "",
        "1 = 1",
        "a = 1) OR (a = a",
        "a = 1; DROP TABLE x",
        "a IN (SELECT a FROM secrets)",
        "SELECT 1",
        "a = 1 UNION ALL SELECT 1",
        "a = (",
        "DROP TABLE x",
        "a AS b",
    ):
        with pytest.raises(GrantInvalid):
            row_condition(text)
