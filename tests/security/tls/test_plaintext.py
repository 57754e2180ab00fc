"""Off this machine it is TLS, unless a place says by name that it is not."""

from __future__ import annotations

import pytest

from rowkeeper.errors import Category, PlaintextRefused
from rowkeeper.logs import Journal, keep
from rowkeeper.security.tls import is_local, require_tls

HERE = ["127.0.0.1", "127.8.9.10", "::1", "[::1]", "::ffff:127.0.0.1", "localhost", "LocalHost.", "/run/x.sock", "@x"]
ELSEWHERE = [
    "db.example",
    "192.0.2.1",
    "10.0.0.1",
    "0.0.0.0",
    "::",
    "fe80::1%eth0",
    "::ffff:192.0.2.1",
    "127.0.0.1.example",
    "localhost.example",
    "127.1",  # only some resolvers take it for 127.0.0.1
    "0x7f.1",
    "2130706433",
    "",
    None,
]


@pytest.mark.parametrize("host", HERE)
def test_this_machine_is_known(host: str):
    """By its loopback addresses in whatever form, its name, and sockets."""
    assert is_local(host)


@pytest.mark.parametrize("host", ELSEWHERE)
def test_whatever_is_not_surely_here_is_elsewhere(host: str | None):
    """Names that may lead anywhere, addresses of all interfaces, and forms that some read so and others otherwise."""
    assert not is_local(host)


@pytest.mark.parametrize(
    "url",
    ["http://vault.example:8200", "HTTP://10.0.0.1/", "ftp://h/x", "unknown://h", "vault.example:8200", "//h", ""],
)
def test_plaintext_to_another_machine_is_refused(url: str):
    """An unknown scheme counts as plaintext. It is the configuration's fault, and the mend names the setting."""
    with pytest.raises(PlaintextRefused, match=r"the vault on .* would be reached without TLS") as caught:
        require_tls(url, name="the vault", setting="ROWKEEPER_VAULT_PLAINTEXT=true")
    assert "ROWKEEPER_VAULT_PLAINTEXT=true" in caught.value.hint
    assert caught.value.category is Category.CONFIGURATION


@pytest.mark.parametrize(
    "url", ["https://vault.example", "HTTPS://x", "wss://h", "http://localhost:8200", "http://[::1]/"]
)
def test_tls_and_loopback_pass(url: str):
    """Without a word, and without a line in the log."""
    lines: list[object] = []
    with keep(Journal("debug", [lines.append])):
        require_tls(url, name="the vault", setting="ROWKEEPER_VAULT_PLAINTEXT=true")
    assert lines == []


def test_declared_plaintext_passes_and_is_logged():
    """Each time, with whom."""
    lines: list[dict[str, object]] = []
    with keep(Journal("info", [lines.append])):  # type: ignore[list-item]
        for _ in range(2):
            require_tls("http://vault.example:8200/?q=canary", plaintext=True, name="the vault", setting="")
    assert [(each["level"], each["host"], each["operation"]) for each in lines] == [
        ("warning", "vault.example", "the vault")
    ] * 2
    assert "canary" not in str(lines)
