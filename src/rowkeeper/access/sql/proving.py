"""What the engine itself makes of the query that is to be run, compared with what was permitted.

Nothing here trusts sqlglot: the text is what will be run, and its trees are the engine's own. A difference ends it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

from rowkeeper.access.sql.functions import INTERNAL, is_allowed
from rowkeeper.access.sql.rewriting import Rewritten
from rowkeeper.errors import QueryDiffers

# Nodes of `EXPLAIN AST`. TableExpression may also hold a Function (a table function) and a SampleRatio: neither is here
# as its child; Set is SETTINGS; a second child of the root is FORMAT or INTO OUTFILE.
_SYNTAX = """
    SelectWithUnionQuery SelectIntersectExceptQuery SelectQuery ExpressionList Identifier Literal Function Subquery
    TablesInSelectQuery TablesInSelectQueryElement TableExpression TableIdentifier TableJoin ArrayJoin WithElement
    Asterisk QualifiedAsterisk ColumnsTransformerList ColumnsExceptTransformer ColumnsReplaceTransformer
    ColumnsReplaceTransformer::Replacement OrderByElement WindowListElement WindowDefinition
"""
SYNTAX = frozenset(_SYNTAX.split())
SOURCES = frozenset({"TableIdentifier", "Subquery"})  # what rows may come from
MEMBERSHIP = frozenset(
    f"{prefix}{name}" for prefix in ("", "global") for name in ("in", "notin", "nullin", "notnullin")
)
LINE = re.compile(r"( *)([A-Za-z:]+)(?: (.*?))??(?: \(alias (.*?)\))?(?: \(children (\d+)\))?")
# Nodes of `EXPLAIN QUERY TREE`.
_ANALYSED = """
    QUERY UNION LIST COLUMN CONSTANT FUNCTION LAMBDA ARGUMENTS ARGUMENT TABLE JOIN ARRAY_JOIN CROSS_JOIN SORT WINDOW
    INTERPOLATE
"""
ANALYSED = frozenset(_ANALYSED.split())
NODE = re.compile(r"( *)([A-Z_]+) id: (\d+)(.*)")
TABLE = re.compile(r".*table_name: (.+?)(?:, .*)?")
COLUMN = re.compile(r".*column_name: (.*), result_type: .*, source_id: (\d+)")
CALL = re.compile(r".*function_name: ([^,]+), .*")
NOTHING = "system.one"  # what a SELECT without FROM reads


@dataclasses.dataclass(slots=True)
class _Node:
    depth: int
    kind: str
    about: str
    alias: str
    children: list[_Node] = dataclasses.field(default_factory=list)

    def walk(self) -> Iterator[_Node]:
        yield self
        for child in self.children:
            yield from child.walk()


def prove_text(syntax: str, query: Rewritten) -> None:
    """Passes a text in which rows come from permitted tables and subqueries alone, and only known functions are called.

    Args:
        syntax: the engine's tree of the text, by `EXPLAIN AST`.

    Raises QueryDiffers.
    """
    root = _tree(syntax)
    if root.kind != "SelectWithUnionQuery" or len(root.children) != 1:
        raise _differs("the engine reads more in it than a SELECT")
    found = [node for each in root.walk() if (node := _proved(each, query)) is not None]
    if sorted(found) != sorted(query.reads):
        raise _differs("the engine finds other tables in it")


def _proved(node: _Node, query: Rewritten) -> str | None:
    """Looks at one node; returns the random name of a table."""
    if node.kind not in SYNTAX:
        raise _differs(f"the engine finds {node.kind[:40]} in it")
    if node.kind == "Function" and not is_allowed(node.about):
        raise _differs("the engine finds another function in it")
    if node.kind == "Function" and node.about.lower() in MEMBERSHIP:
        _prove_membership(node)
    if node.kind == "TableExpression" and [each.kind for each in node.children if each.kind not in SOURCES]:
        raise _differs("the engine finds rows in it that come from no table")
    if node.kind != "TableIdentifier":
        return None
    table = query.reads.get(node.alias)
    if table is not None and node.about == table.name:
        return node.alias
    if table is None and node.about in query.ctes:
        return None
    raise _differs("the engine finds another table in it")


def _prove_membership(node: _Node) -> None:
    """A name behind IN is a table's."""
    arguments = node.children[0].children if node.children else []
    if len(arguments) != 2 or arguments[1].kind in ("Identifier", "TableIdentifier"):
        raise _differs("the engine finds a table behind IN")


def _tree(text: str) -> _Node:
    """The tree of an indented text."""
    path: list[_Node] = []
    for line in text.rstrip("\n").split("\n"):
        match = LINE.fullmatch(line)
        if match is None:
            raise _differs("the engine describes it in an unknown way")
        node = _Node(len(match[1]), match[2], match[3] or "", match[4] or "")
        if node.depth > len(path) or (node.depth == 0 and path):
            raise _differs("the engine describes it in an unknown way")
        del path[node.depth :]
        if path:
            path[-1].children.append(node)
        path.append(node)
    return path[0]


def prove_reads(analysed: str, query: Rewritten) -> None:
    """Passes a query that reads, once the engine has resolved each name, permitted columns of permitted tables.

    Args:
        analysed: the engine's tree of the query, by `EXPLAIN QUERY TREE passes = 1`.

    Raises QueryDiffers.
    """
    permitted = {
        table.name: {column.name for column in table.clear} | query.filtered.get(table.name, frozenset())
        for table in query.reads.values()
    }
    permitted[NOTHING] = {"dummy"}
    tables: dict[str, str] = {}
    columns: list[tuple[str, str]] = []
    for line in analysed.split("\n"):
        match = NODE.fullmatch(line)
        if match is None:
            continue
        _, kind, number, rest = match.groups()
        if kind not in ANALYSED:
            raise _differs(f"the engine's analyser finds {kind[:40]} in it")
        if kind == "TABLE":
            tables[number] = _group(TABLE, rest)
        elif kind == "COLUMN" and (found := COLUMN.fullmatch(rest)):
            columns.append((found[2], found[1]))
        elif kind == "FUNCTION":
            _prove_call(_group(CALL, rest))
    _prove_columns(tables, columns, permitted)


def _prove_call(name: str) -> None:
    if not is_allowed(name) and name.lower() not in INTERNAL:
        raise _differs("the engine's analyser finds another function in it")


def _prove_columns(tables: dict[str, str], columns: list[tuple[str, str]], permitted: dict[str, set[str]]) -> None:
    for table in tables.values():
        if table not in permitted:
            raise _differs("the engine's analyser finds another table in it")
    for source, column in columns:
        if source in tables and column not in permitted[tables[source]]:
            raise _differs("the engine's analyser finds another column in it")


def _group(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.fullmatch(text)
    if match is None:
        raise _differs("the engine's analyser describes it in an unknown way")
    return match[1]


def _differs(why: str) -> QueryDiffers:
    return QueryDiffers(
        f"{why} than was permitted, so nothing was read" if " other" in why else f"{why}, so nothing was read",
        hint="ask in simpler words; what the SQL looked like would be worth a report to Rowkeeper",
    )
