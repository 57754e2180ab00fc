"""For a server the same decisions: roles, grants, row policies and masked views, each read by ClickHouse's parser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import chdb
import pytest

from rowkeeper.access import Sight, TableView
from rowkeeper.access.sql import ColumnType, SeenTable
from rowkeeper.access.sql.server import ServerRole, statements
from tests.access.sql.world import CANARY

COLUMNS = (ColumnType("id", "Int64"), ColumnType("region", "String"), ColumnType("mail", "LowCardinality(String)"))
CLEAR = {"id": Sight.CLEAR, "region": Sight.CLEAR}
MASKED = {**CLEAR, "mail": Sight.MASKED}
EU = "SELECT region = 'EU'"


def table(sights: dict[str, Sight], row_filter: str | None = None) -> SeenTable:
    return SeenTable("default", "clients", COLUMNS, TableView("default.clients", sights, row_filter))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chdb.state.sqlitelike.Connection]:
    opened = chdb.connect(str(tmp_path_factory.mktemp("server")))
    opened.query("CREATE TABLE clients (id Int64, region String, mail LowCardinality(String)) ENGINE Memory")
    opened.query(f"INSERT INTO clients VALUES (1, 'EU', '{CANARY}_1'), (2, 'US', '{CANARY}_2')")
    yield opened
    opened.close()


def test_clear_columns_are_granted_and_row_filters_are_policies():
    """Who sees a table's columns in the clear is granted these; the filter is a policy, and others see all rows."""
    found = statements([ServerRole("eu", (table(CLEAR, EU),), ("ann",)), ServerRole("all", (table(CLEAR),))])
    assert "GRANT SELECT(`id`, `region`) ON `default`.`clients` TO `rk_eu`" in found
    policies = [each for each in found if each.startswith("CREATE ROW POLICY")]
    ending = "ON `default`.`clients` FOR SELECT USING"
    assert policies == [
        f"CREATE ROW POLICY OR REPLACE `rk_all` {ending} 1 AS PERMISSIVE TO `rk_all`",
        f"CREATE ROW POLICY OR REPLACE `rk_eu` {ending} (\"region\" = 'EU') AS PERMISSIVE TO `rk_eu`",
        f"CREATE ROW POLICY OR REPLACE `rk_others` {ending} 1 AS PERMISSIVE TO ALL EXCEPT `rk_all`, `rk_eu`",
    ]
    assert "GRANT `rk_eu` TO `ann`" in found
    assert found.index(policies[-1]) < found.index("GRANT SELECT(`id`, `region`) ON `default`.`clients` TO `rk_eu`")


def test_masked_columns_are_in_a_view_and_the_table_is_not_granted():
    """Who sees a column masked gets the view alone; refused columns are in no statement."""
    found = statements([ServerRole("viewer", (table(MASKED, EU),))])
    grants = [each for each in found if each.startswith("GRANT") and each.endswith("TO `rk_viewer`")]
    assert grants == ["GRANT SELECT ON `rk_viewer`.`clients` TO `rk_viewer`"]
    refused = statements([ServerRole("viewer", (table({**CLEAR, "region": Sight.MASKED}),))])
    assert not [each for each in refused if "mail" in each]


def test_what_was_given_before_is_taken_back_first():
    """An export that is run again leaves no grant, view or policy of the one before."""
    found = statements([ServerRole("viewer", ())])
    assert found == (
        "CREATE ROLE IF NOT EXISTS `rk_viewer`",
        "REVOKE ALL ON *.* FROM `rk_viewer`",
        "DROP DATABASE IF EXISTS `rk_viewer`",
    )
    assert "DROP ROW POLICY IF EXISTS `rk_b` ON `default`.`clients`" in statements(
        [ServerRole("a", (table(CLEAR, EU),)), ServerRole("b", (table(MASKED),))]
    )


def test_the_view_masks_and_filters(engine: chdb.state.sqlitelike.Connection):
    """The view that the statements make shows neither masked values nor filtered rows, when ClickHouse reads it.

    chDB has no users to run as, so that DEFINER is left out; all else of the statement is run as it stands.
    """
    engine.query("CREATE DATABASE rk_viewer")
    view = next(each for each in statements([ServerRole("viewer", (table(MASKED, EU),))]) if "CREATE VIEW" in each)
    engine.query(view.replace(" DEFINER = `rk_definer` SQL SECURITY DEFINER", ""))
    shown = bytes(engine.query("SELECT * FROM rk_viewer.clients", "CSV").bytes()).decode()
    assert shown == '1,"EU",\\N\n'


@pytest.mark.parametrize("name", ["it's", "a`b", "a\\b", 'a"b', "a; DROP TABLE clients"])
def test_names_cannot_become_statements(engine: chdb.state.sqlitelike.Connection, name: str):
    """A role or account of any name stays one statement each, read by ClickHouse's parser as the same kind."""
    for each in statements([ServerRole(name, (table(MASKED, EU),), (name,)), ServerRole("b", (table(CLEAR, EU),))]):
        escaped = each.replace("\\", "\\\\").replace("'", "\\'")
        formatted = bytes(engine.query(f"SELECT formatQuerySingleLine('{escaped}')", "TSVRaw").bytes()).decode()
        assert formatted.split()[0] == each.split()[0]


def test_the_command_prints_them(own_arena, tmp_path: Path):
    """Roles of Rowkeeper's own permissions, for the tables there are, by the command."""
    own_arena.write("c.csv", "id,mail\n1,CANARY_1@x\n")
    own_arena.write(
        "p.py",
        "from typing import Annotated\nimport rowkeeper as rk\nfrom pydantic import BaseModel\n"
        "class C(BaseModel):\n    id: int\n    mail: Annotated[str, rk.Classified('pii.email')]\n"
        "p = rk.Pipeline('c', source=rk.sources.files('c.csv'), contract=C, "
        "destination=rk.destinations.clickhouse('clients', order_by=['id']))\n",
    )
    own_arena.ok("run", "p.py")
    own_arena.ok("users", "add", "ann", "--role", "viewer")
    found = own_arena.ok("access", "export", "--clickhouse")["statements"]
    assert "GRANT SELECT ON rk_viewer.clients TO rk_viewer" in found
    assert "GRANT rk_viewer TO ann" in found
    assert [
        each for each in found if "CREATE VIEW rk_viewer.clients" in each and "CAST(NULL, 'Nullable(String)')" in each
    ]
    assert CANARY not in str(found)
