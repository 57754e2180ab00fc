"""`rowkeeper certs`: the whole life of a private authority, and what is said of servers."""

from __future__ import annotations

import datetime
import ssl
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rowkeeper.security.tls import TLS, server_context
from tests.arena import Arena
from tests.security.tls import workshop
from tests.security.tls.servers import careless, listening, said, serving
from tests.security.tls.workshop import Made


@pytest.fixture(scope="module")
def founded(arena: Arena) -> dict[str, Any]:
    return dict(arena.ok("certs", "init", "--name", "Test Authority"))


def test_a_life(founded: dict[str, Any], arena: Arena):
    """Made, issued, shown, renewed while its server runs, revoked: what is printed is what clients find."""
    hosts = ("--host", "localhost", "--host", "127.0.0.1")
    (web,) = arena.ok("certs", "issue", "web", *hosts)["certificates"]
    assert web["hosts"] == ["localhost", "127.0.0.1"]
    client = TLS(ca=founded["ca"], crl=founded["crl"])
    with serving(server_context(Path(web["certificate"]), Path(web["key"]))) as port:
        before = said(port, client)
        (renewed,) = arena.ok("certs", "renew", "web")["certificates"]
        assert said(port, client) != before
        document = arena.ok("certs", "show")
        assert document["authority"] == "Test Authority"
        assert [each["serial"] for each in document["certificates"]] == [renewed["serial"]]
        revoked = arena.ok("certs", "revoke", "web")["revoked"]
        assert {web["serial"], renewed["serial"]} == set(revoked) == set(arena.ok("certs", "show")["revoked"])
        checked = arena.run(
            "certs", "check", f"127.0.0.1:{port}", "--ca", founded["ca"], "--crl", founded["crl"], "--json"
        )
        assert checked.status == 1
        assert "was revoked" in checked.json["findings"][0]["found"]
    assert arena.ok("certs", "renew")["certificates"] == []


def test_it_is_told_in_words(founded: dict[str, Any], arena: Arena):
    """Where the files are, and what to do next."""
    made = arena.run("certs", "issue", "told", "--client")
    assert made.status == 0
    assert "certs/told/cert.pem" in made.stdout
    assert "told" in arena.run("certs", "show").stdout
    assert "no certificate is due" in arena.run("certs", "renew").stdout


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (("init",), 1, "RK-6047"),
        (("issue", "../x"), 2, "RK-1102"),
        (("issue", "x", "--host", "a b"), 2, "RK-1102"),
        (("issue", "x", "--passphrase", "env:ROWKEEPER_TEST_NOT_THERE"), 1, "RK-6045"),
        (("renew", "nothing"), 1, "RK-6047"),
        (("revoke", "nothing"), 1, "RK-6047"),
        (("check", "nowhere"), 2, "RK-1102"),
        (("check", "h:99999"), 2, "RK-1102"),
        (("check", "127.0.0.1:1", "--pin", "x"), 2, "RK-1102"),
    ],
)
def test_bad_input_is_one_clear_error(
    words: tuple[str, ...], status: int, code: str, founded: dict[str, Any], arena: Arena
):
    """With a next step, and nothing half-written."""
    before = sorted((arena.home / "certs").rglob("*"))
    outcome = arena.run("certs", *words, "--json")
    assert (outcome.status, outcome.json["error"]["code"]) == (status, code), outcome
    assert outcome.json["error"]["hint"]
    assert "Traceback" not in outcome.stderr
    assert sorted((arena.home / "certs").rglob("*")) == before


def test_doctor_tells_what_runs_out(own_arena: Arena, tmp_path: Path):
    """Nothing, when all is well; what is soon to be renewed, as a note; what ran out, as wrong; with the command."""

    def told(**env: str) -> list[dict[str, Any]]:
        findings = own_arena.run("doctor", "--json", env=env).json["checks"]
        return [each for each in findings if each["name"] == "certificates"]

    assert [each["level"] for each in told()] == ["ok"]
    own_arena.ok("certs", "init")
    own_arena.ok("certs", "issue", "web")
    assert [each["level"] for each in told()] == ["ok"]
    root = workshop.authority()
    for days, level in ((5, "note"), (-1, "wrong")):
        cert, key = root.leaf(begins=-50, ends=days).write(tmp_path, f"client{days}")
        (finding,) = told(ROWKEEPER_TLS_CERT=str(cert), ROWKEEPER_TLS_KEY=str(key))
        assert (finding["level"], str(cert) in finding["found"]) == (level, True)
        assert finding["mend"]


# -------------------------------------------------------------------------------------------------------- check


@pytest.fixture(scope="module")
def root() -> Made:
    return workshop.authority()


def check(arena: Arena, place: str, *words: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit status, and the findings by name."""
    outcome = arena.run("certs", "check", place, *words, "--json")
    return outcome.status, {each["name"]: each for each in outcome.json["findings"]}


def test_a_good_server_passes(arena: Arena, root: Made, tmp_path: Path):
    """Every finding says what was found; the pin that is printed is one that passes."""
    ca = str(root.write(tmp_path, "ca")[0])
    with serving(server_context(*root.leaf().write(tmp_path, "web"))) as port:
        status, found = check(arena, f"127.0.0.1:{port}", "--ca", ca)
        assert status == 0, found
        assert set(found) == {"connection", "validity", "name", "key", "chain", "pin", "revocation", "old versions"}
        assert "TLSv1.3" in found["connection"]["found"]
        assert "secp256r1, signed with SHA256" in found["key"]["found"]
        pin = found["pin"]["found"]
        assert check(arena, f"127.0.0.1:{port}", "--ca", ca, "--pin", pin)[0] == 0
        status, found = check(arena, f"127.0.0.1:{port}", "--ca", ca, "--pin", "00" * 32)
    assert (status, found["connection"]["level"]) == (1, "wrong")
    assert "none of those that are pinned" in found["connection"]["found"]


def old(root: Made, folder: Path) -> ssl.SSLContext:
    context = careless(root.leaf(), folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


def truncated(root: Made, folder: Path) -> ssl.SSLContext:
    return careless(workshop.authority("Intermediate", issuer=root).leaf(), folder)


def demanding(root: Made, folder: Path) -> ssl.SSLContext:
    context = careless(root.leaf(), folder)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


SERVERS: dict[str, tuple[Callable[[Made, Path], ssl.SSLContext], str, str]] = {
    "expired": (lambda root, at: careless(root.leaf(begins=-90, ends=-3), at), "validity", "expired"),
    "of tomorrow": (lambda root, at: careless(root.leaf(begins=2, ends=3), at), "validity", "not valid yet"),
    "another's": (lambda root, at: careless(root.leaf("other.example"), at), "name", "for other.example; not for"),
    "weak": (lambda root, at: careless(root.leaf(key=workshop.weak_rsa()), at), "key", "1024 bits"),
    "truncated": (truncated, "chain", "issued by CN=Intermediate; none of them is in"),
    "another authority's": (lambda _, at: careless(workshop.authority("Other").leaf(), at), "chain", "CN=Other"),
    "old": (old, "connection", "1.1 or older"),
    "demanding": (demanding, "connection", "wants a client certificate"),
}


@pytest.mark.parametrize("which", SERVERS)
def test_a_bad_server_is_described(which: str, arena: Arena, root: Made, tmp_path: Path):
    """The verdict is that of our clients; beside it stands what is wrong in detail, each with its mend."""
    make, name, what = SERVERS[which]
    ca = str(root.write(tmp_path, "ca")[0])
    with serving(make(root, tmp_path)) as port:
        status, found = check(arena, f"127.0.0.1:{port}", "--ca", ca)
    assert status == 1
    assert found["connection"]["level"] == "wrong"
    assert what in found[name]["found"]
    assert found[name]["level"] == "wrong"
    assert found[name]["mend"]


def test_what_is_not_wrong_but_could_be_better_is_noted(arena: Arena, root: Made, tmp_path: Path):
    """Soon to be renewed, TLS 1.1 spoken too, nothing looked up: the status is 0."""
    ca = str(root.write(tmp_path, "ca")[0])
    context = careless(root.leaf(begins=-50, ends=5), tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1_1
    with serving(context) as port:
        status, found = check(arena, f"127.0.0.1:{port}", "--ca", ca)
    assert status == 0
    assert {name for name, each in found.items() if each["level"] == "note"} == {
        "validity",
        "revocation",
        "old versions",
    }


@pytest.fixture
def silent() -> Iterator[int]:
    with listening(lambda client: None) as port:
        yield port


def test_a_server_that_hangs_up_or_is_not_there_is_told(silent: int, arena: Arena):
    """As a finding with a mend, not as an error."""
    for port in (silent, 1):
        status, found = check(arena, f"127.0.0.1:{port}")
        assert (status, set(found)) == (1, {"connection"})
        assert found["connection"]["mend"]


def test_findings_are_shown_in_words(arena: Arena, root: Made, tmp_path: Path):
    """As doctor shows them."""
    with serving(careless(root.leaf(begins=-90, ends=-3), tmp_path)) as port:
        outcome = arena.run("certs", "check", f"127.0.0.1:{port}", "--ca", str(root.write(tmp_path, "ca")[0]))
    assert outcome.status == 1
    assert "wrong" in outcome.stdout
    assert "mend" in outcome.stdout
    assert datetime.datetime.now(datetime.UTC).strftime("%Y") in outcome.stdout
