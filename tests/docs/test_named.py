"""What the pages name is there: files of tests, tests, tools, other pages, errors, settings."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from rowkeeper.errors import error_of
from rowkeeper.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    str(each.relative_to(ROOT))
    for each in (*ROOT.glob("docs/*.md"), ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "bench" / "NOTES.md")
)
CODE = re.compile(r"`([^`\n]+)`")
FILE = re.compile(r"((?:[\w.]+/)*\w+\.py)(?:::(\w+))?")
LINK = re.compile(r"\]\(([\w./-]+\.(?:md|json|py))")
OWN = re.compile(r"^ *```\w+ file=(\S+)", re.MULTILINE)
ROOMS = ("tests", "tools", "bench", "examples")


@cache
def written() -> dict[str, str]:
    """The text of every file of tests, by its path from the root."""
    return {str(each.relative_to(ROOT)): each.read_text() for each in (ROOT / "tests").rglob("*.py")}


def named(page: str) -> set[tuple[str, str]]:
    """Files in `code` that are tests or lie in a room with tests and tools, and which function of them, if any."""
    text = (ROOT / page).read_text()
    own = set(OWN.findall(text))
    found = {match.groups("") for code in CODE.findall(text) for match in FILE.finditer(code)}
    return {
        (path, function)
        for path, function in found
        if path not in own and (path.partition("/")[0] in ROOMS or path.startswith("test_"))
    }


@pytest.mark.parametrize("page", PAGES)
def test_the_files_that_a_page_names_are_there(page: str):
    """With their folder, or by a name that a file of tests has; and the function, where one is named."""
    for path, function in named(page):
        candidates = [path] if "/" in path else [each for each in written() if each.endswith("/" + path)]
        assert any((ROOT / each).is_file() for each in candidates), path
        assert not function or any(f"def {function}(" in written()[each] for each in candidates), (path, function)


@pytest.mark.parametrize("page", PAGES)
def test_the_tests_that_a_page_names_are_there(page: str):
    """A promise has its test: each `test_...` is one."""
    everything = "\n".join(written().values())
    for code in CODE.findall((ROOT / page).read_text()):
        if re.fullmatch(r"test_\w+", code):
            assert f"def {code}(" in everything, code


@pytest.mark.parametrize("page", PAGES)
def test_the_errors_that_a_page_names_are_there(page: str):
    """`rowkeeper errors` explains each code."""
    for code in set(re.findall(r"RK-\d{4}", (ROOT / page).read_text())):
        assert error_of(code).code == code


@pytest.mark.parametrize("page", PAGES)
def test_the_settings_that_a_page_names_are_there(page: str):
    """Each `ROWKEEPER_...` is a setting, or tells the tests where a program is."""
    known = {f"ROWKEEPER_{name.upper()}" for name in Settings.model_fields}
    named = set(re.findall(r"ROWKEEPER_(?!TEST_)[A-Z0-9_]+[A-Z0-9](?![A-Z0-9_])", (ROOT / page).read_text()))
    assert named - known == set()


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_that_a_page_leads_to_are_there(page: str):
    """Links within the project."""
    here = (ROOT / page).parent
    missing = [link for link in LINK.findall((ROOT / page).read_text()) if not (here / link).is_file()]
    assert missing == []


def test_there_is_something_to_look_at():
    """The pages name hundreds of files."""
    assert sum(len(named(page)) for page in PAGES) > 200
