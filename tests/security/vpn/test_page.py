"""The page about firewall and VPN is tested: its examples run, and what it names is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from rowkeeper.cli.commands import main
from rowkeeper.endpoints.via import HANDSHAKE_SECONDS_MAX
from rowkeeper.security.vpn.configuration import OF_INTERFACE, OF_PEER, read_plan
from rowkeeper.security.vpn.tunnels import KNOCK_SECONDS_MAX
from rowkeeper.security.vpn.watch import HANDSHAKES_EVERY_SECONDS
from tests.docs.examples import run_after_readme, snippets

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "security-network.md").read_text()


@pytest.mark.parametrize("example", snippets("docs/security-network.md"))
def test_the_examples_run(example: str, monkeypatch: pytest.MonkeyPatch):
    """Each of them, with the README's contract."""
    run_after_readme(example, monkeypatch)


def test_the_settings_are_valid():
    """As `vpn render` reads them, with nothing to note."""
    table = tomllib.loads(re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)[1])
    assert read_plan("wg0", table["vpn"]["wg0"], lambda keys: "").notes == ()
    assert all(f"`{key}`" in PAGE for key in (*OF_INTERFACE, *OF_PEER) if key != "peers")


def test_the_commands_are_there():
    """Every command and option of its console lines."""
    lines = re.findall(r"^    rowkeeper (\w+) (\w+)([^#\n]*)", PAGE, re.MULTILINE)
    assert len(lines) == 6
    for group, name, rest in lines:
        command = main.commands[group].commands[name]
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"--\w+", rest)) <= known


def test_its_seconds_are_those_of_the_code():
    """How old a handshake may be, how long is knocked, how often is looked."""
    assert (HANDSHAKE_SECONDS_MAX, KNOCK_SECONDS_MAX, HANDSHAKES_EVERY_SECONDS) == (180, 6, 10)
    assert all(word in PAGE for word in ("180 s old", "six seconds", "every ten seconds"))
