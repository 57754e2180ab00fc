"""Who is governed, by what, and within which limits."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from rowkeeper.access import Access, CedarPermissions, Column, Sight, TableView
from rowkeeper.caller import Caller, CallerKind, acting
from rowkeeper.errors import ColumnRefused, DeadlineExceeded, QueryError, QueryFailed, QueryRefused, TableRefused
from rowkeeper.ledger.grants import RowFilter
from rowkeeper.ledger.ledger import utc_now
from rowkeeper.resilience.deadline import deadline
from rowkeeper.runs.columnfacts import UNNAMED, columns_of_table
from rowkeeper.runs.protecting import LABELS_KEY
from rowkeeper.runs.querying import run_query
from tests.access.sql.world import ANN, CANARY, STRANGER, Analysts, World


def with_filter(world: World, condition: str) -> World:
    class Filtering(Analysts):
        def view(self, caller: Caller, table: str, columns: list[Column]) -> TableView | None:
            seen = super().view(caller, table, columns)
            return None if seen is None else dataclasses.replace(seen, row_filter=condition)

    return World(dataclasses.replace(world.space, access=Access(Filtering(), world.space.ledger.audit)))


def test_the_owner_sees_what_is_there(world: World):
    """Whoever owns the state folder types any SQL that reads, and sees classified values and filtered rows."""
    assert CANARY in str(world.own("SELECT mail FROM clients").rows)
    assert world.own("SELECT count() FROM system.tables").rows
    with pytest.raises(QueryError, match="Cannot parse"):
        world.own("SELECT toUInt32('x')")


@pytest.mark.parametrize("kind", [CallerKind.USER, CallerKind.SERVICE, CallerKind.ANONYMOUS])
def test_an_account_is_governed_also_in_the_owners_process(world: World, kind: CallerKind):
    """A server runs as the owner: who asks is the account, whatever the process may do."""
    assert os.geteuid() in (0, world.space.folder.path.stat().st_uid)
    with pytest.raises(TableRefused):
        world.ask("SELECT * FROM clients", Caller(kind, "root"))


def test_a_stranger_cannot_tell_a_table_that_is_there(world: World):
    """The refusal of a table is the same, to the letter, whether it exists or not."""
    told = []
    for table in ("vault", "nowhere"):
        with pytest.raises(TableRefused) as caught:
            world.ask(f"SELECT * FROM {table}", STRANGER)
        told.append(str(caught.value).replace(table, "..."))
    assert told[0] == told[1]


def test_the_purpose_decides(world: World):
    """What is permitted for one purpose is refused for another."""
    assert world.ask("SELECT count() FROM orders", purpose="billing").rows
    with pytest.raises(TableRefused, match="for the purpose forbidden"):
        world.ask("SELECT count() FROM orders", purpose="forbidden")


def test_no_more_rows_than_asked_for(world: World):
    """Of more rows those asked for are there, and it is said that there were more."""
    answer = world.ask("SELECT id FROM people ORDER BY id", rows_max=3)
    assert (answer.rows, answer.cut) == (((1,), (2,), (3,)), True)
    assert not world.ask("SELECT id FROM people LIMIT 3", rows_max=3).cut
    with acting(ANN):
        assert len(run_query(world.space, "SELECT * FROM people CROSS JOIN people AS b", rows_max=None).rows) == 900


def test_time_is_limited(world: World):
    """A query that would take long ends at the deadline."""
    slow = "SELECT count() FROM people AS a " + "".join(f"CROSS JOIN people AS b{each} " for each in range(7))
    with deadline(2.0), pytest.raises(DeadlineExceeded):
        world.ask(f"{slow} WHERE cityHash64(a.id, b1.id, b2.id, b6.name) % 7 = 1")


def test_a_refused_column_is_named_and_another_is_not(world: World):
    """What was typed and is hidden is told; the rest of what is hidden is not."""
    with pytest.raises(ColumnRefused, match=r"the column ssn of default\.clients is not shown"):
        world.ask("SELECT ssn FROM clients")
    with pytest.raises(QueryFailed) as caught:
        world.ask("SELECT sssn FROM clients")
    assert "ssn" not in str(caught.value).replace("sssn", "")


@pytest.mark.parametrize(
    "condition",
    [
        *(
            "1 UNION ALL SELECT 1",
            "region = 'EU') OR (1",
            "1; DROP TABLE clients",
            "id IN (SELECT id FROM vault)",
        ),
        *(
            "1 FROM vault",
            "region = 'EU', 1",
            "*",
            "throwIf(1)",
            "file('/etc/passwd')",
            "id IN vault",
            "1 SETTINGS x = 1",
        ),
        *("id AS name", "", "   "),
    ],
)
def test_a_row_filter_is_a_condition_or_nothing_is_read(world: World, condition: str):
    """A filter that is anything else, written by whomever, ends the query."""
    with pytest.raises(QueryRefused, match="row filter"):
        with_filter(world, condition).ask("SELECT count() FROM clients")


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        *(("region = 'EU' AND id BETWEEN 1 AND 4", 3), ("ssn = 'CANARY-001'", 1), ("region IN ('EU', 'x')", 20)),
        *(("CASE WHEN id < 3 THEN 1 ELSE 0 END", 2), ("arrayExists(id -> id = 'EU', [region])", 20)),
        *(("NOT region LIKE 'C%' OR 0 /* either */", 20), ("id NOT IN (1, 2)", 28), ("empty(mail)", 0)),
    ],
)
def test_row_filters_look_at_what_is_hidden(world: World, condition: str, rows: int):
    """A filter sees the table's own values: no alias or mask of the query stands in between."""
    sql = "WITH 'no' AS region, 0 AS id SELECT count(), any('x' AS ssn), any('' AS mail) FROM clients"
    assert with_filter(world, condition).ask(sql).rows[0][0] == rows


def test_the_order_of_rows_is_not_that_of_hidden_values(world: World):
    """A table that is sorted by what is masked comes in another order each time, also to an aggregate."""
    rows = [world.ask("SELECT id FROM paid").rows for _ in range(2)]
    assert rows[0] != rows[1]
    assert sorted(rows[0]) == sorted(rows[1]) == sorted(world.own("SELECT id FROM paid").rows)
    assert len({str(world.ask("SELECT groupArray(id) FROM paid").rows) for _ in range(2)}) == 2


def test_real_roles_decide(world: World):
    """With Rowkeeper's own permissions: a viewer sees classified columns masked, and the rows of the role's filter."""
    ledger = world.space.ledger
    permissions = CedarPermissions(world.space.folder.path, ledger.grants, None, utc_now)
    real = World(dataclasses.replace(world.space, access=Access(permissions, ledger.audit)))
    viewer = Caller(CallerKind.USER, "vic", roles=frozenset({"viewer"}))
    with pytest.raises(TableRefused):
        real.ask("SELECT * FROM vault", STRANGER)
    assert real.ask("SELECT count(), count(mail), count(ssn), count(phone) FROM clients", viewer).rows == (
        (30, 0, 0, 30),
    )
    ledger.grants.filter_rows(RowFilter("viewer", "default.clients", "region = 'EU'"))
    assert real.ask("SELECT count(), count(mail) FROM clients", viewer).rows == ((20, 0),)


def test_facts_come_from_every_run_whose_rows_are_there(world: World):
    """A column has the labels that runs noted, is protected if all protected it, and no run's silence clears it."""
    facts = {column.name: column for column in columns_of_table(world.space.ledger, "default.clients")}
    assert facts["mail"] == Column("mail", frozenset({"pii.email"}))
    assert facts["phone"] == Column("phone", frozenset({"pii.phone"}), protected=True)
    assert facts["id"] == Column("id")
    assert not [name for name in facts if name.startswith("_rk")]
    assert columns_of_table(world.space.ledger, "default.nowhere") == ()
    assert columns_of_table(world.space.ledger, "lients") == ()


def test_a_run_that_noted_no_labels_leaves_a_column_classified(world: World, monkeypatch: pytest.MonkeyPatch):
    """Runs of an older version noted only which columns are classified: these are never taken for unclassified."""
    read = world.space.ledger.run

    def older(number: int):
        run = read(number)
        return dataclasses.replace(run, source={key: of for key, of in run.source.items() if key != LABELS_KEY})

    monkeypatch.setattr(world.space.ledger, "run", older)
    facts = {column.name: column for column in columns_of_table(world.space.ledger, "default.clients")}
    assert facts["mail"] == Column("mail", frozenset({UNNAMED}))
    assert Analysts().view(ANN, "default.clients", list(facts.values())).sights["mail"] is Sight.REFUSED


def test_the_program_of_the_documentation_prints_what_it_says(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """The example in docs/queries.md, as it stands, with a viewer of Rowkeeper's own permissions."""
    page = (Path(__file__).parents[3] / "docs" / "queries.md").read_text()
    program = page.partition("```python\n")[2].partition("```")[0]
    monkeypatch.setenv("ROWKEEPER_HOME", str(world.space.folder.path))
    monkeypatch.setenv("ROWKEEPER_KEY_FILE", str(world.space.folder.path.parent / "the.key"))
    exec(program, {})
    said = [line.partition("  # ")[2] for line in program.splitlines() if line.startswith("print")]
    assert capsys.readouterr().out.splitlines() == said
    assert len(said) == 3
