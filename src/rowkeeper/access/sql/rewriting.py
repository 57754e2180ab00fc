"""Each table of a query is replaced by a subquery of what its reader may see.

    FROM people AS p    becomes

    FROM (SELECT f.id AS id, CAST(NULL, 'Nullable(String)') AS email
          FROM (SELECT t.id AS id FROM default.people AS t WHERE t.region = 'EU' LIMIT 18446744073709551615) AS f) AS p

`t` and `f` stand for names with a random part, made for this query alone: no alias of the query can take their place,
and no column of the query can name what is inside. The LIMIT lets every row pass, and keeps ClickHouse from evaluating
conditions of the query on rows that the row filter takes away, whose errors would tell of them. Where the table is
sorted or partitioned by values that are not shown, the rows are shuffled, as their order would tell of these.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from rowkeeper.access.sql.allowed import refused
from rowkeeper.access.sql.dialect import Typed, exp, sqlglot, text_of
from rowkeeper.access.sql.seen import SeenTable
from rowkeeper.access.sql.standing import subquery
from rowkeeper.errors import TableRefused

DATABASE = "default"
WORDS = ("inf", "nan")  # numbers that look like names


@dataclasses.dataclass(frozen=True, slots=True)
class Rewritten:
    """The query that is run.

    Attributes:
        text: its SQL.
        reads: by the random name that a table has in it: the table.
        ctes: names of the query's own subqueries, which stand where tables may stand.
        filtered: the columns that row filters look at, by table.
    """

    text: str
    reads: Mapping[str, SeenTable]
    ctes: frozenset[str]
    filtered: Mapping[str, frozenset[str]]

    @property
    def tables(self) -> tuple[SeenTable, ...]:
        """The tables that it reads, each once."""
        return tuple({table.name: table for table in self.reads.values()}.values())


def names_of(tree: exp.Expr) -> frozenset[str]:
    """Every name that stands in it."""
    return frozenset(node.name for node in tree.find_all(exp.Identifier))


def cte_names(tree: exp.Expr) -> frozenset[str]:
    """The names that the query gives to subqueries of its own."""
    return frozenset(cte.alias for cte in tree.find_all(exp.CTE) if not cte.args.get("scalar"))


def tables_of(tree: exp.Expr) -> tuple[tuple[str, str], ...]:
    """(database, table) of each table that the query names, in order, each once.

    Raises TableRefused where a subquery of the query's own has the name of a table beside it: which of the two is meant
    shall not depend on how closely one reads.
    """
    found = dict.fromkeys((database, table) for _, database, table in _references(tree))
    return tuple(found)


def rewrite(tree: exp.Query, tables: Mapping[tuple[str, str], SeenTable], token: str) -> Rewritten:
    """Puts what may be seen of each table in its place.

    Args:
        tables: all that `tables_of` names, by (database, table).
        token: random text, of letters and digits, for the names inside.
    """
    tree = tree.copy()
    reads: dict[str, SeenTable] = {}
    filtered: dict[str, frozenset[str]] = {}
    ctes = cte_names(tree)
    for number, (node, database, table) in enumerate(list(_references(tree)), 1):
        seen = tables[database, table]
        alias = f"_rk_{token}_{number}"
        reads[alias] = seen
        text, looked_at = subquery(seen, alias)
        filtered[seen.name] = looked_at
        inside = sqlglot.parse_one(text, read=Typed)
        name = node.alias or node.name
        node.replace(exp.Subquery(this=inside, alias=exp.TableAlias(this=exp.to_identifier(name, quoted=True))))
    _keep_words(tree)
    return Rewritten(text_of(tree), reads, ctes, filtered)


def _references(tree: exp.Expr) -> Iterator[tuple[exp.Table, str, str]]:
    """The nodes that name tables, each with its database and table."""
    ctes = cte_names(tree)
    for node in tree.find_all(exp.Table):
        if not isinstance(node.parent, (exp.From, exp.Join)):
            raise refused("a table in this place")
        if not node.db and node.name in ctes:
            if not _in_scope(node):
                raise TableRefused(
                    f"{node.name} is named outside of the query that its WITH belongs to",
                    hint="give the subquery a name of its own",
                )
            continue
        yield node, node.db or DATABASE, node.name


def _in_scope(node: exp.Table) -> bool:
    """Whether a WITH around it names it."""
    at = node.parent
    while at is not None:
        within = at.args.get("with_")
        if within is not None and node.name in {cte.alias for cte in within.expressions}:
            return True
        at = at.parent
    return False


def _keep_words(tree: exp.Expr) -> None:
    """Words that look like names of columns, and would be ones if they were quoted."""
    for column in list(tree.find_all(exp.Column)):
        name = column.this
        if not isinstance(name, exp.Identifier) or name.args.get("quoted") or column.table:
            continue
        all_of_them = name.name.upper() == "ALL" and isinstance(column.parent, exp.Ordered)
        if all_of_them or name.name.lower() in WORDS:
            column.replace(exp.Var(this=name.name))
