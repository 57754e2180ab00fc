"""docs/security-columns.md does what it says."""

from __future__ import annotations

import shlex

import pytest

from rowkeeper.security.protection.policy import METHODS, Policy
from tests.arena import Arena
from tests.docs.examples import ROOT, blocks

PAGE = "docs/security-columns.md"


@pytest.fixture(scope="module")
def printed(arena: Arena) -> list[str]:
    """What the page's commands print, in order."""
    said = []
    for kind, name, text in blocks(PAGE):
        if name and not name.endswith(".toml"):
            arena.write(name, text)
        if kind == "console":
            for line in text.splitlines():
                outcome = arena.run(*shlex.split(line.removeprefix("$ rowkeeper ")))
                assert outcome.status == 0, (line, outcome)
                said.append(outcome.stdout)
    return said


def test_the_commands_print_what_the_page_promises(printed: list[str]):
    """Two rows are loaded, one is in quarantine, and what was encrypted is revealed."""
    run, table, quarantine, mails, card = printed
    assert "committed   2" in run
    assert "1 x card: rk_unprotectable" in run
    assert "@" not in table
    assert "B***" in table
    assert "E***" in quarantine
    assert "[classified]" in quarantine
    assert "ada@mail.example" in mails
    assert "4111 1111 1111 1111" in card


def test_the_policy_of_the_page_is_obeyed(arena: Arena, printed: list[str]):
    """A pipeline with the same contract protects its wages by it, into a table of its own."""
    text = next(text for _, name, text in blocks(PAGE) if name == "rowkeeper.policy.toml")
    policy = arena.write("policy.toml", text)
    assert Policy.load(policy).requires(["secret.wage"])
    pipeline = (arena.folder / "people.py").read_text()
    arena.write("strict.py", pipeline.replace('"people"', '"strict"').replace("people = ", "strict = "))
    outcome = arena.run("run", "strict.py", env={"ROWKEEPER_POLICY_FILE": str(policy)})
    assert outcome.status == 0, outcome
    assert arena.ok("query", "SELECT wage FROM strict ORDER BY wage")["rows"] == [[4000], [5000]]


def test_every_method_is_on_the_page():
    """By both of its names."""
    page = (ROOT / PAGE).read_text()
    for word, method in METHODS.items():
        assert f"`{word}`" in page
        assert f"| `{method.__name__}(" in page
