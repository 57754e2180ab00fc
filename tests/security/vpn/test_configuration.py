"""WireGuard configuration in the settings: what is wrong is told with its place and mend, and no key is ever told."""

from __future__ import annotations

import base64
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from rowkeeper.errors import SecretLiteral, SecretUnavailable, VpnMisconfigured
from rowkeeper.security.references import resolve
from rowkeeper.security.vpn.configuration import read_plan
from rowkeeper.security.vpn.rendering import rendered, write_private
from tests.arena import Arena


def pair() -> tuple[str, str]:
    private = X25519PrivateKey.generate()
    raw = (private.private_bytes_raw(), private.public_key().public_bytes_raw())
    return base64.b64encode(raw[0]).decode(), base64.b64encode(raw[1]).decode()


OWN, OWN_PUBLIC = pair()
_, ADA = pair()
_, GRACE = pair()
SHARED = base64.b64encode(bytes(range(32))).decode()


def table(**changes: Any) -> dict[str, Any]:
    """A sound one, with changes: `peer_...` of the first peer, None takes a key away."""
    peer = {"name": "ada", "public_key": ADA, "endpoint": "vpn.test:51820", "allowed_ips": ["10.83.0.0/24"]}
    made = {"address": "10.83.0.1/24", "private_key": "env:WG_KEY", "peers": [{**peer, "keepalive": 25}]}
    for key, value in changes.items():
        where = made["peers"][0] if key.startswith("peer_") else made
        where[key.removeprefix("peer_")] = value
        if value is None:
            del where[key.removeprefix("peer_")]
    return made


def planned(**changes: Any):
    return read_plan("wg0", table(**changes), lambda keys: "rowkeeper.toml:7")


def test_a_sound_one_is_read():
    """Every value as its own type, and nothing to note."""
    plan = planned(listen_port=51820, mtu=1420, dns="10.83.0.53")
    assert (str(plan.addresses[0]), plan.private_key, plan.listen_port) == ("10.83.0.1/24", "env:WG_KEY", 51820)
    assert (str(plan.peers[0].allowed_ips[0]), plan.peers[0].endpoint) == ("10.83.0.0/24", "vpn.test:51820")
    assert plan.notes == ()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"peer_public_key": "AAAA"}, "public_key: it has 3 bytes, and a key has 32"),
        ({"peer_public_key": base64.b64encode(bytes(32)).decode()}, "all of its bits are zero"),
        ({"peer_public_key": "not base64!"}, "it is no base64"),
        ({"peer_public_key": None}, "public_key: it is missing"),
        ({"peer_allowed_ips": ["10.83.0.5/24"]}, "10.83.0.0/24 for all of it, 10.83.0.5/32 for the one machine"),
        ({"peer_allowed_ips": ["10.83.0.0/33"]}, "is no network"),
        ({"peer_allowed_ips": None}, "allowed_ips: it is missing"),
        ({"peer_endpoint": "vpn.test"}, "endpoint: it is no host with a port"),
        ({"peer_endpoint": "vpn.test:70000"}, "70000 cannot be a port"),
        ({"peer_endpoint": "https://vpn.test"}, "it is no host with a port"),
        ({"peer_keepalive": 70000}, "keepalive: it is no such number; a whole number from 1 to 65535"),
        ({"peer_keepalife": 25}, "did you mean keepalive?"),
        ({"adress": "x"}, "did you mean address?"),
        ({"address": "10.83.0.1/240"}, "is no address with a length"),
        ({"address": None}, "address: it is missing"),
        ({"private_key": None}, "made by wg genkey"),
        ({"listen_port": 0}, "listen_port: it is no such number"),
        ({"mtu": 100}, "mtu: it is no such number"),
        ({"peers": []}, "peers: there is none"),
        ({"dns": "1.1.1.1\nPostUp = x"}, "dns: "),
    ],
)
def test_a_fault_is_told_with_its_place_and_its_mend(changes: dict[str, Any], told: str):
    """File and line, the key, what is wrong, what to do."""
    with pytest.raises(VpnMisconfigured) as caught:
        planned(**changes)
    assert told in caught.value.what
    assert "rowkeeper.toml:7" in caught.value.what


def test_all_faults_are_told_at_once():
    """Nobody corrects one to be told of the next."""
    with pytest.raises(VpnMisconfigured) as caught:
        planned(address="x", peer_keepalive=-1, peer_public_key="AAAA")
    assert all(word in caught.value.what for word in ("address", "keepalive", "public_key"))


def test_peers_that_claim_the_same_network_are_refused():
    """WireGuard would give it to the last, silently."""
    other = {"name": "grace", "public_key": GRACE, "allowed_ips": ["10.83.0.0/24"]}
    with pytest.raises(VpnMisconfigured, match=r"ada and grace both have 10\.83\.0\.0/24"):
        planned(peers=[*table()["peers"], other])


def test_a_network_inside_another_peers_is_noted():
    """It is allowed, the narrower wins, and that is worth knowing."""
    other = {"name": "grace", "public_key": GRACE, "allowed_ips": ["10.83.0.9/32"], "keepalive": 25}
    assert "10.83.0.9/32 goes to grace" in planned(peers=[*table()["peers"], other]).notes[0]


def test_two_peers_of_one_key_are_refused():
    """The second would take the place of the first."""
    other = {"name": "grace", "public_key": ADA, "allowed_ips": ["10.84.0.0/24"]}
    with pytest.raises(VpnMisconfigured, match="ada and grace have one public_key"):
        planned(peers=[*table()["peers"], other])


@pytest.mark.parametrize("changes", [{"private_key": OWN}, {"peer_preshared_key": SHARED}])
def test_a_key_in_the_settings_is_refused_and_not_told(changes: dict[str, str]):
    """It belongs behind a reference."""
    with pytest.raises(SecretLiteral) as caught:
        planned(**changes)
    assert next(iter(changes.values())) not in caught.value.what + caught.value.hint


def test_a_key_of_a_file_stays_there(tmp_path: Path):
    """wg-quick fetches it; what is rendered holds no secret and can be printed."""
    (tmp_path / "it's a key").write_text(OWN + "\n")
    (tmp_path / "it's a key").chmod(0o600)
    made = rendered(planned(private_key=f"file:{tmp_path}/it's a key"), resolve)
    assert not made.holds_a_key
    assert OWN not in made.text
    hook = next(line for line in made.text.splitlines() if line.startswith("PostUp = "))
    words = subprocess.run(["sh", "-c", hook.removeprefix("PostUp = wg set %i private-key ").join(("printf %s ", ""))],
                           capture_output=True, text=True, check=True).stdout  # fmt: skip
    assert words == f"{tmp_path}/it's a key"


def test_any_other_key_makes_a_secret_of_it(monkeypatch: pytest.MonkeyPatch):
    """The configuration then holds it, and knows that it does."""
    monkeypatch.setenv("WG_KEY", OWN)
    monkeypatch.setenv("WG_PSK", SHARED)
    made = rendered(planned(peer_preshared_key="env:WG_PSK"), resolve)
    assert made.holds_a_key
    assert f"PrivateKey = {OWN}" in made.text
    assert f"PresharedKey = {SHARED}" in made.text
    assert OWN not in repr(made)


@pytest.mark.parametrize(
    ("value", "told"), [("short", "it is no base64"), ("AAAA", "it has 3 bytes"), ("A" * 43 + "=", "zero")]
)
def test_a_secret_that_is_no_key_is_refused_and_not_told(monkeypatch: pytest.MonkeyPatch, value: str, told: str):
    """The reference is named, what it leads to is not."""
    monkeypatch.setenv("WG_KEY", value)
    with pytest.raises(VpnMisconfigured, match="env:WG_KEY") as caught:
        rendered(planned(), resolve)
    assert told in caught.value.what
    assert value not in caught.value.what


def test_a_reference_to_nothing_is_told(monkeypatch: pytest.MonkeyPatch):
    """As any reference that leads to nothing."""
    monkeypatch.delenv("WG_KEY", raising=False)
    with pytest.raises(SecretUnavailable, match="WG_KEY is not set"):
        rendered(planned(), resolve)


def test_a_peer_that_is_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch):
    """Its public key is the one of the own private key: somebody copied the wrong one."""
    monkeypatch.setenv("WG_KEY", OWN)
    with pytest.raises(VpnMisconfigured, match="this machine's own"):
        rendered(planned(peer_public_key=OWN_PUBLIC), resolve)


def test_what_is_written_is_private(tmp_path: Path):
    """0600 whatever the umask and whatever was there before, and nothing beside it."""
    file = tmp_path / "wg0.conf"
    file.write_text("former")
    file.chmod(0o644)
    write_private(file, "new")
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("new", 0o600)
    assert list(tmp_path.iterdir()) == [file]


TOML = f"""
[vpn.wg0]
address = "10.83.0.1/24"
private_key = "env:WG_KEY"

[[vpn.wg0.peers]]
name = "ada"
public_key = "{ADA}"
endpoint = "192.0.2.1:51820"
allowed_ips = ["10.83.0.0/24"]
keepalive = 25
"""


def test_the_command_prints_no_key_unasked(own_arena: Arena):
    """It writes a file of mode 0600, or prints on demand; JSON holds no key then."""
    own_arena.write("rowkeeper.toml", TOML)
    own_arena.env["WG_KEY"] = OWN
    refused = own_arena.run("vpn", "render")
    assert refused.status == 2
    assert "(RK-6061)" in refused.stderr
    assert OWN not in refused.stdout + refused.stderr
    assert f"PrivateKey = {OWN}" in own_arena.run("vpn", "render", "--reveal").stdout
    written = own_arena.run("vpn", "render", "wg0", "--output", "wg0.conf", "--json")
    assert written.json["holds_a_key"]
    assert OWN not in written.stdout + written.stderr
    assert stat.S_IMODE((own_arena.folder / "wg0.conf").stat().st_mode) == 0o600


def test_the_command_names_the_line(own_arena: Arena):
    """Of the peers' table, in `rowkeeper.toml`."""
    own_arena.write("rowkeeper.toml", TOML.replace("10.83.0.0/24", "10.83.0.1/24"))
    outcome = own_arena.run("vpn", "render")
    assert outcome.status == 2
    assert "rowkeeper.toml:6: [[vpn.wg0.peers]] number 1, allowed_ips" in outcome.stderr


def test_the_check_tells_what_is_wrong_and_the_mend(own_arena: Arena):
    """An interface that is not there, and an endpoint that demands another."""
    own_arena.write("rowkeeper.toml", TOML)
    own_arena.env |= {"WG_KEY": OWN, "ROWKEEPER_LEDGER_VIA": "wg9", "ROWKEEPER_LEDGER_URL": "postgresql://192.0.2.7/x"}
    outcome = own_arena.run("vpn", "check", "--json")
    assert outcome.status == 1
    checks = {(each["name"], each["ok"]): each for each in outcome.json["checks"]}
    assert checks["configuration", True]["found"] == "[vpn.wg0] is valid: 1 peer"
    assert any(each["found"] == "wg0 is not there" for each in outcome.json["checks"])
    assert "wg9 is not there" in checks["route", False]["found"]
    assert checks["route", False]["mend"].startswith("wg-quick up wg9")


def test_a_public_key_is_not_taken_for_a_secret(own_arena: Arena):
    """It looks as random as a private one; that one, a line above, is found."""
    pytest.importorskip("detect_secrets", reason="the rules come with rowkeeper[scan]")
    own_arena.write("rowkeeper.toml", TOML)
    assert own_arena.run("secrets", "scan", "rowkeeper.toml").status == 0
    own_arena.write("other.toml", TOML.replace("env:WG_KEY", OWN))
    outcome = own_arena.run("secrets", "scan", "other.toml")
    assert outcome.status == 1
    assert "other.toml:4" in outcome.stdout + outcome.stderr
