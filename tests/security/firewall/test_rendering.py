"""Rules are valid in the words of each firewall, and say what was declared and nothing else."""

from __future__ import annotations

import ipaddress
import json
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest
import yaml

from rowkeeper.endpoints import Endpoint, Proxy
from rowkeeper.endpoints.host import Address
from rowkeeper.errors import NameUnresolved
from rowkeeper.security.firewall import Scope, Wall, iptables, kubernetes, nameservers, nftables, wall_of
from tests.security.netns import needs

SCHEMA = json.loads((Path(__file__).parent / "networkpolicy-v1.schema.json").read_text())  # of Kubernetes 1.37, strict
HOSTS = {"db.internal": ["10.1.2.7", "fd00::7"], "api.example.com": ["192.0.2.1", "192.0.2.2"]}
NOW = datetime(2026, 3, 29, 12, tzinfo=UTC)
MIXED = (
    Endpoint("db.internal", 5432, private=True, why="the ledger"),
    Endpoint("10.1.2.0/24", 5432, private=True, why="all of them"),
    Endpoint("api.example.com", 443, why="orders: source"),
    Endpoint("10.7.0.1", None, private=True, why="by the tunnel", via="wg0"),
    Endpoint("2001:db8::/32", 123, "udp", private=True, why="clocks"),
    Endpoint("localhost", 8123, why="at home"),
)


def lookup(name: str) -> Sequence[Address]:
    return [ipaddress.ip_address(each) for each in HOSTS.get(name, ())]


def wall(*endpoints: Endpoint, uid: int = 1000, cgroup: str | None = None) -> Wall:
    servers = [ipaddress.ip_address(each) for each in ("10.0.0.53", "fd00::53", "127.0.0.53")]
    return wall_of(endpoints, Scope(uid, cgroup), lookup=lookup, servers=servers, now=NOW)


def checked_by(command: list[str], text: str, tmp_path: Path) -> str:
    """In a namespace of its own: a check of rules loads modules and reads what is there."""
    needs(command[0])
    file = tmp_path / "rules"
    file.write_text(text)
    command = ["unshare", "-n", *command, str(file)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    return f"{done.returncode} {done.stderr}".strip()


@pytest.mark.root
@pytest.mark.parametrize("endpoints", [(), MIXED], ids=["nothing", "mixed"])
def test_nft_takes_what_is_rendered(endpoints: tuple[Endpoint, ...], tmp_path: Path):
    """`nft -c -f` finds nothing wrong, with endpoints of every kind and with none."""
    assert checked_by(["nft", "-c", "-f"], nftables(wall(*endpoints)), tmp_path) == "0"


@pytest.mark.root
def test_nft_would_find_a_fault(tmp_path: Path):
    """The check can fail: a set whose networks overlap is refused, as is a word that nft does not know."""
    broken = nftables(wall(*MIXED)).replace("192.0.2.2/32", "192.0.2.0/24")
    assert "conflicting intervals" in checked_by(["nft", "-c", "-f"], broken, tmp_path)
    assert "syntax error" in checked_by(["nft", "-c", "-f"], nftables(wall()).replace("goto", "go to"), tmp_path)


@pytest.mark.root
@pytest.mark.parametrize("program", ["iptables-restore", "ip6tables-restore"])
@pytest.mark.parametrize("endpoints", [(), MIXED], ids=["nothing", "mixed"])
def test_iptables_restore_takes_what_is_rendered(program: str, endpoints: tuple[Endpoint, ...], tmp_path: Path):
    """One file is valid input for both families."""
    assert checked_by([program, "--test", "--noflush"], iptables(wall(*endpoints)), tmp_path) == "0"


@pytest.mark.parametrize("endpoints", [(), MIXED], ids=["nothing", "mixed"])
def test_the_network_policy_fits_the_schema_of_kubernetes(endpoints: tuple[Endpoint, ...]):
    """A manifest is YAML of the form that the API server asks for, unknown fields refused."""
    manifest = yaml.safe_load(kubernetes(wall(*endpoints)))
    jsonschema.validate(manifest, SCHEMA)
    assert manifest["spec"]["policyTypes"] == ["Egress"]
    assert len(manifest["spec"]["egress"]) == 1 + len(wall(*endpoints).gaps)
    manifest["spec"]["egres"] = []
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(manifest, SCHEMA)


def test_the_network_policy_lets_out_what_is_declared():
    """Each way out is one rule of networks and one port; any port leaves the port out."""
    rules = yaml.safe_load(kubernetes(wall(*MIXED)))["spec"]["egress"]
    found = {
        (block["ipBlock"]["cidr"], rule["ports"][0]["protocol"], rule["ports"][0].get("port"))
        for rule in rules[1:]
        for block in rule["to"]
    }
    assert found == {
        ("10.1.2.0/24", "TCP", 5432),
        ("fd00::7/128", "TCP", 5432),
        ("192.0.2.1/32", "TCP", 443),
        ("192.0.2.2/32", "TCP", 443),
        ("10.7.0.1/32", "TCP", None),
        ("2001:db8::/32", "UDP", 123),
    }
    assert "knows addresses and no names" in kubernetes(wall())


def test_the_pods_are_chosen_by_label():
    """`--label` stands in the place of the usual one."""
    spec = yaml.safe_load(kubernetes(wall(), {"app": "on"}))["spec"]
    assert spec["podSelector"] == {"matchLabels": {"app": "on"}}


def test_a_name_without_an_address_is_named():
    """It is an error, not a rule that is missing."""
    with pytest.raises(NameUnresolved, match=r"nowhere\.example has no address") as caught:
        wall(Endpoint("nowhere.example", 443, why="orders: source"))
    assert "orders: source" in caught.value.what


def test_a_resolver_that_fails_is_a_name_without_an_address():
    """What the C library raises of an unknown name is the same one error."""

    def failing(name: str) -> Sequence[Address]:
        raise OSError(-2, "Name or service not known")

    with pytest.raises(NameUnresolved):
        wall_of([Endpoint("db.internal", 1)], Scope(1), lookup=failing, servers=[], now=NOW)


def test_what_is_reached_by_a_proxy_needs_no_way_out():
    """The proxy has one; the host behind it is not looked up."""
    proxy = Proxy("socks5h://192.0.2.9:1080")
    made = wall(Endpoint("nowhere.example", 443, proxy=proxy), Endpoint.of_proxy(proxy))
    assert [gap.reasons for gap in made.gaps] == [{ipaddress.ip_network("192.0.2.9/32"): "the proxy"}]


def test_a_demanded_interface_is_in_the_rule():
    """The kernel itself keeps what is declared by way of wg0 from leaving by another interface."""
    assert 'oifname "wg0" ip daddr @tcp_any_wg0_v4' in nftables(wall(*MIXED))
    assert "-o wg0 -d 10.7.0.1/32 -p tcp" in iptables(wall(*MIXED))


def test_a_reason_cannot_end_its_comment():
    """Whatever stands in `why`, no line of the rules begins with it and no quotation ends early."""
    evil = Endpoint("192.0.2.1", 443, why='x"\n}\nadd rule inet t c accept\n#\\')
    for text in (nftables(wall(evil)), iptables(wall(evil)), kubernetes(wall(evil))):
        assert "add rule" in text
        assert not [line for line in text.splitlines() if line.lstrip().startswith("add")]
        assert all(line.count('"') % 2 == 0 for line in text.splitlines())


def test_nothing_declared_lets_nothing_out_and_says_so():
    """Loopback and DNS remain."""
    assert wall().gaps == []
    assert "nothing but loopback and DNS is let out" in nftables(wall())
    assert "nothing but DNS is let out" in kubernetes(wall())


def test_names_are_noted_with_the_time():
    """Whoever reads the rules sees which addresses stood for which name, and when."""
    text = nftables(wall(*MIXED))
    assert "Names were looked up at 2026-03-29 12:00:00 UTC" in text
    assert "db.internal = 10.1.2.7, fd00::7" in text
    assert 'fd00::7/128 comment "db.internal: the ledger"' in text


def test_root_is_warned_of():
    """Rules for uid 0 hold back the system itself."""
    assert "CAUTION" in nftables(wall(uid=0))
    assert "CAUTION" not in nftables(wall(uid=0, cgroup="system.slice/rowkeeper.service"))


def test_nameservers_are_those_of_resolv_conf(tmp_path: Path):
    """Comments, other words, scopes and nonsense are passed over; no file is no nameserver."""
    file = tmp_path / "resolv.conf"
    file.write_text("# nameserver 1.1.1.1\nsearch x\nnameserver 10.0.0.53\nnameserver fe80::1%eth0\nnameserver what\n")
    assert [str(each) for each in nameservers(file)] == ["10.0.0.53", "fe80::1"]
    assert nameservers(tmp_path / "none") == []


def test_the_refresh_of_iptables_has_no_jump():
    """The chain is renewed; the jump, which cannot be asked for, is not put in twice."""
    assert "-I OUTPUT" in iptables(wall())
    assert "-I OUTPUT" not in iptables(wall(), refresh=True)
