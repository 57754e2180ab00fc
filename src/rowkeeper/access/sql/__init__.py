"""SQL that somebody types, turned into SQL that reads no more than they may see.

The proof goes in five steps, of which each refuses what it does not know:

1. The engine's own parser writes the text anew (`formatQuerySingleLine`): one statement, no comments.
2. `parsing`: sqlglot makes a tree of that; each kind of node and each part of it is on a list (`allowed`), and so is
   each function (`functions`). What is not on a list is refused.
3. `rewriting`: each table is replaced by a subquery of what the caller may see: clear columns, masks in place of masked
   ones, the rows that pass the row filter. Nothing of the query is inside of it, so that no condition, join, order or
   alias of the query ever meets a value behind a mask or a row behind the filter.
4. `proving`: the engine's parser reads the text that was made of the tree, and its own tree is looked through: tables
   only where step 3 has put them, by names that nobody could have guessed.
5. `proving`: the engine's analyser says which tables and columns it would read; they are the permitted ones.
"""

from rowkeeper.access.sql.parsing import filter_unusable, parse
from rowkeeper.access.sql.proving import prove_reads, prove_text
from rowkeeper.access.sql.rewriting import Rewritten, cte_names, names_of, rewrite, tables_of
from rowkeeper.access.sql.seen import ColumnType, SeenTable, text

__all__ = [
    "ColumnType",
    "Rewritten",
    "SeenTable",
    "cte_names",
    "filter_unusable",
    "names_of",
    "parse",
    "prove_reads",
    "prove_text",
    "rewrite",
    "tables_of",
    "text",
]
