"""What `make test` leaves out is left out by the seed, and `make torture` tries it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import extent

ROOT = Path(__file__).parents[1]
SAMPLES = re.compile(r"in_turns\(|\(Sampled, |extent\.(sample|examples|whole)|\bexamples\(\d")
OTHERS = {
    "tests/conftest.py",  # says what is sampled
    "tests/test_extent.py",
    "tests/ledger/test_crowd.py",  # `make test-postgres` tries them whole
    "tests/runs/test_ledger_dies.py",
}


@pytest.mark.in_turns("numbers", 2)
@pytest.mark.parametrize("number", range(5))
def test_of_five_two_are_tried_at_a_time(request: pytest.FixtureRequest, number: int):
    """Those that the seed says; all of them with --whole, or when they are asked for by name."""
    name = "test_of_five_two_are_tried_at_a_time"
    alike = [each for each in request.session.items if getattr(each, "originalname", "") == name]
    all_of_them = extent.whole or extent.is_named(request.node, request.config.args)
    tried = list(range(5)) if all_of_them else extent.sample(f"{name} of numbers", range(5), 2)
    assert [each.callspec.params["number"] for each in alike] == tried  # type: ignore[attr-defined]
    assert number in tried


def test_a_suite_tries_so_many_failpoints():
    """In their order; another suite others."""
    suite = type("Suite", (extent.Sampled,), {})()
    points = list(range(100))
    tried = suite.chosen("failpoints", points)
    assert tried == (points if extent.whole else sorted(set(tried)))
    assert len(tried) == (100 if extent.whole else suite.tries)
    assert suite.chosen("failpoints", points) == tried


def test_whatever_is_sampled_is_tried_whole_by_torture():
    """Files that sample are among those that the Makefile gives `--whole`."""
    (line,) = [each for each in (ROOT / "Makefile").read_text().splitlines() if each.startswith("SAMPLED =")]
    whole = line.split()[2:]
    sampling = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tests").rglob("*.py")
        if SAMPLES.search(path.read_text()) and path.name.startswith("test_")
    }
    assert len(sampling) > 30
    assert {each for each in sampling - OTHERS if not any(each.startswith(one) for one in whole)} == set()
