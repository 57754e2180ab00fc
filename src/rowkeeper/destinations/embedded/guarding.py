"""What SQL that people type may not do, although it only reads: reach files, sockets, Python, or others' statements.

`readonly = 1` refuses INSERT, DDL and most table functions. It lets through the scalar function `file('/any/path')`,
`INTO OUTFILE` (which overwrites with TRUNCATE), the table functions `s3(...)` and `Python(...)`, `DESCRIBE url(...)`,
which opens a socket, and `KILL QUERY`, which ends a run's statements: chDB has no users that could be denied them.

What is looked at is never the text as typed, but what ClickHouse's own parser makes of it: first written anew
(`formatQuery`, which also takes one statement only), then as a syntax tree. This keeps typed SQL in bounds; it is no
sandbox against somebody who looks for another way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

Ask = Callable[[str, dict[str, str]], str]
ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\t": "\\t"})  # as ClickHouse reads a parameter

STATEMENTS = re.compile(r"(SelectWithUnionQuery|SelectQuery|Explain|DescribeQuery|Show\w+|Exists\w+|CheckQuery)\b")
# They make rows of nothing, or read tables that a SELECT may read as well.
TABLE_FUNCTIONS = frozenset(
    {
        "generate_series",
        "generaterandom",
        "generateseries",
        "merge",
        "mergetreeindex",
        "mergetreeprojection",
        "null",
        "numbers",
        "numbers_mt",
        "primes",
        "values",
        "view",
        "viewexplain",
        "viewifpermitted",
        "zeros",
        "zeros_mt",
    }
)
FUNCTION = re.compile(r"( *)Function ([^ \n]+)")
# A string, a quoted name, a word (with the dot before it, if it is a column of a table), or one sign.
TOKEN = re.compile(r"'(?:[^'\\]|\\.|'')*'|`(?:[^`\\]|\\.|``)*`|\.?[A-Za-z_][A-Za-z0-9_]*|\S", re.DOTALL)


class Guard:
    """Says why a statement is refused.

    Args:
        ask: runs a query of ours, with its parameters, and returns the answer as text.
    """

    def __init__(self, ask: Ask) -> None:
        names = ask(
            "SELECT lower(name) FROM system.table_functions EXCEPT SELECT lower(name) FROM system.functions", {}
        )
        self._refused = frozenset(names.split()) - TABLE_FUNCTIONS

    def fault(self, statement: str, ask: Ask) -> str | None:
        """Why a statement that is to read only is refused, or None.

        Raises what `ask` raises for what is no SQL, or for several statements.
        """
        canonical = ask("SELECT formatQuerySingleLine({statement:String})", {"statement": statement.translate(ESCAPES)})
        return fault_of_text(canonical) or fault_of_tree(ask(f"EXPLAIN AST {canonical}", {}), self._refused)


def fault_of_text(canonical: str) -> str | None:
    """Why a statement, as `formatQuerySingleLine` gives it, is refused."""
    tokens = TOKEN.findall(canonical)
    for token, following in zip(tokens, [*tokens[1:], ""], strict=True):
        if (token, following) == ("INTO", "OUTFILE"):
            return "INTO OUTFILE writes a file"
        if token.strip("`").lower() == "file":  # with or without parentheses: arrayMap(file, ...) calls it as well
            return "the function file reads any file (a column of that name can be asked for as table.file)"
        if (token.strip("`").lower(), following) == ("python", "("):  # chDB looks for the object when it parses it
            return "the table function Python reaches out of the tables"
    return None


def fault_of_tree(tree: str, refused: Collection[str]) -> str | None:
    """Why a statement, as `EXPLAIN AST` gives it, is refused.

    Args:
        tree: a node per line, children indented by one space more.
        refused: functions, in lower case, that may stand nowhere.
    """
    if not STATEMENTS.match(tree):
        return "it is no statement that reads"
    previous = ""
    for line in tree.splitlines():
        function = FUNCTION.match(line)
        if function:
            name = function[2].lower()
            is_table = previous.startswith(f"{function[1][1:]}TableExpression")
            if name in refused or (is_table and name not in TABLE_FUNCTIONS):
                return f"the table function {function[2]} reaches out of the tables"
        previous = line
    return None
