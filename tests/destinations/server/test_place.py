"""What is declared of a server, by a pipeline or by settings; what makes no sense is refused at once."""

from __future__ import annotations

import pytest

from rowkeeper.destinations import clickhouse, server_of, settled_on
from rowkeeper.destinations.mergetree.destination import ClickHouseDestination
from rowkeeper.destinations.server.place import Place, declared_server, reader_of
from rowkeeper.errors import DeclarationError, SecretLiteral, SettingsError
from rowkeeper.security.tls import TLS
from rowkeeper.settings import Settings

URL = "https://loader@ch1.internal/shop"


def settings(monkeypatch: pytest.MonkeyPatch, **values: str) -> Settings:
    for name, value in values.items():
        monkeypatch.setenv(f"ROWKEEPER_CLICKHOUSE_{name.upper()}", value)
    return Settings()


def test_a_url_says_who_where_and_which_database():
    """User, host, the usual port of the scheme, and the database of tables that name none."""
    server = declared_server(URL)
    assert server.places == (Place("ch1.internal", 8443, True),)
    assert (server.user, server.database, server.name) == ("loader", "shop", "ch1.internal:8443")
    assert declared_server("http://127.0.0.1").places[0].port == 8123


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"url": "https://loader:hunter2@ch1/shop"}, SecretLiteral),
        ({"url": URL, "password": "hunter2"}, SecretLiteral),
        ({"url": "clickhouse://ch1:9000"}, DeclarationError),
        ({"url": URL + "?secure=1"}, DeclarationError),
        ({"url": URL, "replicas": "https://ch2"}, DeclarationError),
        ({"url": URL, "replicas": ["https://ch1.internal:8443"]}, DeclarationError),
        ({"url": URL, "replicas": ["https://other@ch2"]}, DeclarationError),
        ({"url": URL, "cluster": "main"}, DeclarationError),
        ({"url": URL, "cluster": "a`b", "replicated": True}, DeclarationError),
        ({"url": URL, "quorum": 2}, DeclarationError),
        ({"url": URL, "quorum": 1, "replicated": True}, DeclarationError),
        ({"url": URL, "quorum": "most", "replicated": True}, DeclarationError),
        ({"password": "env:X"}, DeclarationError),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, object], error: type[Exception]):
    """One clear error, in which no password stands."""
    with pytest.raises(error) as refusal:
        clickhouse("t", order_by=["id"], **arguments)
    assert "hunter2" not in str(refusal.value)


def test_a_declaration_can_be_rebuilt_from_its_description():
    """What the ledger keeps of a run leads to the same place, and holds references in the place of secrets."""
    tls = TLS(ca="/etc/ca.pem", pins=["sha256/" + "A" * 43 + "="])
    made = clickhouse(
        "t",
        order_by=["id"],
        url=URL,
        password="env:PW",
        replicas=["https://ch2"],
        replicated=True,
        quorum="auto",
        tls=tls,
    )
    description = made.describe()
    again = ClickHouseDestination.from_description(description)
    assert again.server == made.server
    assert again.target == made.target == "clickhouse:ch1.internal:8443/shop.t"
    assert again.describe() == description
    assert description["server"]["password"] == "env:PW"


def test_settings_decide_where_a_table_is_that_names_no_server(monkeypatch: pytest.MonkeyPatch):
    """The same declaration, the embedded engine without settings, the server with them."""
    declared = clickhouse("t", order_by=["id"])
    own = clickhouse("t", order_by=["id"], url="https://other.internal/own")
    assert declared.target == "clickhouse:embedded/default.t"
    with settled_on(server_of(settings(monkeypatch, url=URL))):
        assert declared.target == "clickhouse:ch1.internal:8443/shop.t"
        assert clickhouse("t", order_by=["id"], database="x").target == "clickhouse:ch1.internal:8443/x.t"
        assert own.target == "clickhouse:other.internal:8443/own.t"
        assert declared.endpoints() == ()
        assert [each.host for each in own.endpoints()] == ["other.internal"]


def test_a_run_into_the_embedded_engine_stays_one_whatever_is_set_later(monkeypatch: pytest.MonkeyPatch):
    """What the ledger keeps of a run decides where recovery looks for it, not the settings of that day."""
    description = clickhouse("t", order_by=["id"]).describe()
    assert "server" not in description
    assert description["database"] == "default"
    with settled_on(server_of(settings(monkeypatch, url=URL))):
        assert ClickHouseDestination.from_description(description).target == "clickhouse:embedded/default.t"


def test_settings_that_do_not_fit_together_are_refused(monkeypatch: pytest.MonkeyPatch):
    """A password without a server, a cluster without replicated tables."""
    with pytest.raises(SettingsError, match="clickhouse_password is set"):
        server_of(settings(monkeypatch, password="env:PW"))
    with pytest.raises(SettingsError, match="cluster"):
        server_of(settings(monkeypatch, url=URL, cluster="main"))


def test_the_reading_user_is_another(monkeypatch: pytest.MonkeyPatch):
    """Typed SQL goes to the same replicas as a user of its own."""
    found = settings(
        monkeypatch, url=URL, replicas="https://ch2,https://ch3", read_user="reader", read_password="env:R"
    )
    server = server_of(found)
    reader = reader_of(found, server)
    assert server is not None
    assert reader is not None
    assert len(server.places) == 3
    assert reader.places == server.places
    assert (reader.user, reader.password) == ("reader", "env:R")
