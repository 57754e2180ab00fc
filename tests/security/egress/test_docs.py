"""The page about egress is tested: its examples run, and what it says of numbers is true."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from rowkeeper.security.egress.addresses import Kind, nature
from tests.security.egress.test_addresses import ADDRESSES

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "security-egress.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_the_examples_run(number: int, monkeypatch: pytest.MonkeyPatch):
    """Each of them, with the README's contract."""
    readme = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    snippet = ModuleType("snippet")
    monkeypatch.setitem(sys.modules, "snippet", snippet)
    names = vars(snippet)
    exec(readme[1], names)
    exec(EXAMPLES[number], names)


def test_the_number_of_addresses():
    """As many are tried as the page says, at least."""
    said = int(re.search(r"(\d+) addresses, each", PAGE)[1])
    assert said <= len({text for text, _ in ADDRESSES})


def test_private_is_what_the_page_says():
    """Both ends of each network of its table."""
    import ipaddress

    row = next(line for line in PAGE.splitlines() if line.startswith("| private:"))
    for short, whole in (("10/8", "10.0.0.0/8"), ("172.16/12", "172.16.0.0/12"), ("192.168/16", "192.168.0.0/16")):
        assert short in row
        network = ipaddress.ip_network(whole)
        assert {nature(network[0]).kind, nature(network[-1]).kind} == {Kind.PRIVATE}
    for whole in ("100.64.0.0/10", "fc00::/7"):
        network = ipaddress.ip_network(whole)
        assert {nature(network[0]).kind, nature(network[-1]).kind} == {Kind.PRIVATE}


def test_every_test_that_it_names_is_there():
    """A promise has its test."""
    for name in re.findall(r"`((?:tests/[\w/]+/)?test_\w+\.py)`", PAGE):
        path = ROOT / name if "/" in name else Path(__file__).parent / name
        assert path.is_file(), name
