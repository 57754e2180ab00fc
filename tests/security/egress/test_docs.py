"""The page about egress is tested: its examples run, and what it says of numbers is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rowkeeper.security.egress.addresses import Kind, nature
from tests.docs.examples import run_after_readme, snippets
from tests.security.egress.test_addresses import ADDRESSES

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "security-egress.md").read_text()


@pytest.mark.parametrize("example", snippets("docs/security-egress.md"))
def test_the_examples_run(example: str, monkeypatch: pytest.MonkeyPatch):
    """Each of them, with the README's contract."""
    run_after_readme(example, monkeypatch)


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
