"""A demand on an interface as it is declared, in pipelines and in settings, and how the process's guard keeps it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import rowkeeper as rk
from rowkeeper.endpoints import Via
from rowkeeper.errors import DeclarationError, VpnDown, VpnRefused
from rowkeeper.resilience.classifying import DEFAULT
from rowkeeper.resilience.outcomes import Effect, Outcome
from rowkeeper.runs.away import is_of_its_own
from rowkeeper.runs.reaching import settled_endpoints
from rowkeeper.security.references import resolve
from tests.arena import Arena
from tests.security.vpn.lab import Lab, tunnelled


@pytest.mark.parametrize("name", ["", "wg 0", "wg/0", "a-name-that-is-long", "..", "wg0\n", 'wg"0', "wg;0", "wg:0"])
def test_what_is_no_interface_is_refused(name: str):
    """By the kernel's own rule, and where a name would mean more than a name to a shell or a firewall."""
    with pytest.raises(DeclarationError, match="interface"):
        rk.Endpoint("db.internal", 5432, via=name)


def test_a_name_is_a_demand():
    """`via="wg0"` looks at handshakes as rk.Via("wg0") does."""
    assert rk.Endpoint("db.internal", 5432, via="wg0") == rk.Endpoint("db.internal", 5432, via=rk.Via("wg0"))
    assert Via.parse("wg0:route") == rk.Via("wg0", handshake_seconds_max=None)
    with pytest.raises(DeclarationError):
        Via.parse("wg0:rout")


def test_a_proxy_and_a_demand_exclude_each_other():
    """Who goes by a proxy connects to the proxy."""
    with pytest.raises(DeclarationError, match="by a proxy and via wg0"):
        rk.Endpoint("db.example", 5432, via="wg0", proxy=rk.Proxy("socks5h://proxy:1080"))


def test_settings_demand_interfaces_for_ledger_and_vault():
    """Their endpoints carry the demand, wherever they are used."""
    settings = rk.Settings(
        ledger_url="postgresql+psycopg://db.internal/x",
        ledger_via="wg0:route",
        vault_address="https://vault.internal:8200",
        vault_via="wg1",
    )
    ledger, vault = settled_endpoints(settings)
    assert (ledger.demand, vault.demand) == (rk.Via("wg0", None), rk.Via("wg1"))


def test_a_setting_that_is_no_interface_is_refused(own_arena: Arena):
    """With its name and the mend."""
    outcome = own_arena.run("runs", env={"ROWKEEPER_LEDGER_VIA": "wg 0"})
    assert outcome.status == 2
    assert "ledger_via" in outcome.stderr


def test_a_refusal_is_not_tried_again():
    """Nothing was sent; the interface comes up when somebody brings it up, and then the command is given again."""
    refused = VpnRefused("no")
    assert DEFAULT.judge(refused, Effect.READ).outcome is Outcome.PERMANENT
    assert refused.retryable
    assert is_of_its_own(refused)


def test_the_vault_is_asked_by_its_interface_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A reference into it is not followed by any other way."""
    monkeypatch.setenv("VAULT", "token")
    settings = rk.Settings(
        home=tmp_path / "state",
        key_file=tmp_path / "the.key",
        vault_address="https://10.83.0.2:8200",
        vault_token="env:VAULT",
        vault_via="wg77",
    )
    with rk.Workspace.open(settings), pytest.raises(VpnDown, match="wg77 is not there"):
        resolve("vault:a#b")


GUARDED = """
import socket, sys
from rowkeeper.endpoints import Endpoint
from rowkeeper.errors import FrameworkError
from rowkeeper.security.egress.guard import Guard, stand
from rowkeeper.security.egress.policy import Egress
host, interface = sys.argv[1:]
stand(Guard(Egress((Endpoint(host, 5432, private=True, via=interface),))))
try:
    with socket.create_connection((host, 5432), timeout=5) as line:
        line.sendall(b"ping\\n")
        bound = line.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16).rstrip(b"\\0").decode()
        print(line.recv(100).decode().strip(), bound)
except FrameworkError as error:
    print(error.code)
"""


@pytest.mark.root
def test_the_guard_of_the_process_keeps_the_demand():
    """Whoever connects in Python, and by whichever library: refused by another way, bound on the right one."""
    with tunnelled() as lab:
        command = (sys.executable, "-c", GUARDED, Lab.inside, lab.interface)
        assert lab.client.run(*command).strip().endswith(f"ping {lab.interface}")
        lab.client.ip("route", "add", f"{Lab.inside}/32", "via", "10.84.0.2", "dev", "eth2")
        before = lab.client.sent("eth2")
        assert lab.client.run(*command).strip() == "RK-6064"
        assert lab.client.sent("eth2") == before


def test_without_the_library_the_extra_is_named(tmp_path: Path):
    """A demand on a machine without pyroute2 is one clear error, and nothing is connected to."""
    (tmp_path / "pyroute2.py").write_text("raise ImportError\n")
    code = (
        "from rowkeeper.security.vpn import ThisMachine\nfrom rowkeeper.errors import ConfigurationError\n"
        "try:\n    ThisMachine().link('wg0')\nexcept ConfigurationError as error:\n    print(error.hint)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.stdout.strip() == "pip install 'rowkeeper[vpn]'"
