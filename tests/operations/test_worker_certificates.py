"""`rowkeeper worker` renews certificates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from rowkeeper.security.statefolder import open_state_folder
from rowkeeper.security.tls import TLS, server_context
from rowkeeper.security.tls.authority import Authority, Wish, due
from tests.arena import Arena
from tests.operations.test_worker import working
from tests.security.tls.servers import said, serving


def test_the_worker_renews_what_is_due(own_arena: Arena):
    """A leaf and a list of fifty days ago: nobody has to ask for it, and the server that shows it is not restarted."""
    own_arena.ok("runs")
    key_file = next((own_arena.folder / "config" / "rowkeeper").iterdir())
    past = datetime.now(UTC) - timedelta(days=50)
    authority = Authority.of(open_state_folder(own_arena.home, key_file), lambda: past)
    authority.found("Test Authority")
    web = authority.issue("web", Wish(["127.0.0.1"]))
    assert due(authority, datetime.now(UTC)) == ["web", "crl.pem"]
    with serving(server_context(web.cert, web.key)) as port:
        before = said(port, TLS(ca=authority.folder.ca))
        with working(own_arena) as worker:
            renewed = worker.wait_for("renewed")
        after = said(port, TLS(ca=authority.folder.ca, crl=authority.folder.crl))
    assert renewed["certificate"] == "web"
    assert before != after
    assert due(authority, datetime.now(UTC)) == []
