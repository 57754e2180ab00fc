"""SQL that people type reads tables, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from rowkeeper.destinations.embedded.guarding import fault_of_text
from tests.arena import Arena
from tests.cli.test_bad_input import one_clear_error

READS = {
    "SELECT number FROM numbers(3)": [[0], [1], [2]],
    "SELECT 1 AS `a` -- a comment\n;": [[1]],
    "WITH t AS (SELECT 'INTO OUTFILE' AS a, 2 AS b) SELECT t.a, t.b AS `INTO` FROM t": [["INTO OUTFILE", 2]],
    "(SELECT 1) UNION ALL (SELECT 1)": [[1], [1]],
    "SELECT 'tab\t, \\t, \\\\, it''s'": [["tab\t, \t, \\, it's"]],
}
REFUSED = {
    "SELECT file('{secret}')": "file reads any file",
    "SELECT `file`('{secret}')": "file reads any file",
    "SELECT /* */ file -- (\n ('{secret}')": "file reads any file",
    "SELECT arrayMap(file, ['{secret}'])": "file reads any file",
    "SELECT 1 IN (SELECT FILE('{secret}'))": "file reads any file",
    "EXPLAIN SELECT file('{secret}')": "file reads any file",
    "SELECT 1 AS a; SELECT file('{secret}')": "Multi-statements",
    "SELECT * FROM file('{secret}', LineAsString)": "file reads any file",
    "SELECT * FROM `{secret}`": "readonly",
    "SELECT * FROM s3('http://127.0.0.1:1/bucket/key')": "s3 reaches out",
    "SELECT * FROM Python(body)": "Python reaches out",
    "SELECT * FROM numbers(1), url('http://127.0.0.1:1/', CSV)": "url reaches out",
    "DESCRIBE url('http://127.0.0.1:1/', CSV)": "url reaches out",
    "SELECT 1 INTO OUTFILE '{made}'": "INTO OUTFILE writes",
    "SELECT 1 INTO /* */ OUTFILE '{made}' TRUNCATE": "INTO OUTFILE writes",
    "KILL QUERY WHERE 1": "no statement that reads",
    "CREATE TABLE made (a Int8) ENGINE = Memory": "no statement that reads",
    "SET readonly = 0": "no statement that reads",
    "SYSTEM SHUTDOWN": "no statement that reads",
    "SELECT 1 SETTINGS readonly = 0": "readonly",
    " ; ": "no SQL",
}


@pytest.mark.parametrize("sql", READS)
def test_what_reads_is_answered(arena: Arena, sql: str):
    """Statements that read tables, or make rows of nothing, are answered, however they are written."""
    assert arena.ok("query", sql)["rows"] == READS[sql]


@pytest.mark.parametrize("sql", REFUSED)
def test_what_reaches_further_is_refused(arena: Arena, sql: str, tmp_path: Path):
    """Nothing else can be read or written by typed SQL: files, sockets, Python, other statements, settings."""
    secret, made = tmp_path / "secret", tmp_path / "made"
    secret.write_text("the secret")
    outcome = arena.run("query", sql.format(secret=secret, made=made))
    one_clear_error(outcome, 1, REFUSED[sql])
    assert "the secret" not in outcome.stdout + outcome.stderr
    assert not made.exists()


def test_a_string_is_no_word():
    """Words inside strings and quoted names are data."""
    assert fault_of_text("SELECT 'file', 'INTO' AS `OUTFILE`, t.file FROM t") is None
    assert fault_of_text("SELECT 'it\\'s', file('x')") is not None
