"""The page about firewall and VPN is tested: its examples run, and what it names is there."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from rowkeeper.cli.commands import main
from rowkeeper.endpoints.via import HANDSHAKE_SECONDS_MAX
from rowkeeper.errors import error_of
from rowkeeper.security.vpn.configuration import OF_INTERFACE, OF_PEER, read_plan
from rowkeeper.security.vpn.tunnels import KNOCK_SECONDS_MAX
from rowkeeper.security.vpn.watch import HANDSHAKES_EVERY_SECONDS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "security-network.md").read_text()
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


def test_what_it_names_is_there():
    """Tests, error codes, and the seconds of the code."""
    for name in re.findall(r"`(tests/[\w/]+\.py)`", PAGE):
        assert (ROOT / name).is_file(), name
    for code in set(re.findall(r"RK-\d{4}", PAGE)):
        assert error_of(code).code == code
    assert (HANDSHAKE_SECONDS_MAX, KNOCK_SECONDS_MAX, HANDSHAKES_EVERY_SECONDS) == (180, 6, 10)
    assert all(word in PAGE for word in ("180 s old", "six seconds", "every ten seconds"))
