"""The server starts, shows its certificate, says what it is at, and stops."""

from __future__ import annotations

import httpx

from tests.web.site import Site


def test_the_server_answers_by_https_with_a_certificate_of_the_private_authority(site: Site):
    """It is issued by itself, and a client that trusts the authority alone believes it."""
    with site.client() as client:
        answer = client.get("/health/live")
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})
    assert site.url.startswith("https://127.0.0.1:")


def test_whoever_signed_in_is_told_who_they_are(site: Site):
    """Contexts survive the way into a thread: the caller is the one of the request."""
    with site.client("operator") as client:
        assert client.get("/api/v1/whoami").json() == {
            "caller": "user:operator",
            "roles": ["operator"],
            "purpose": None,
        }
        told = client.get("/api/v1/whoami", headers={"rowkeeper-purpose": "billing"}).json()
    assert told["purpose"] == "billing"


def test_runs_are_listed_and_shown(admin: httpx.Client):
    """As the command lists them."""
    runs = admin.get("/api/v1/runs").json()["runs"]
    assert [each["pipeline"] for each in runs][-2:] == ["held", "orders"]
    account = admin.get(f"/api/v1/runs/{runs[-1]['run']}/account").json()
    assert account["account"] == {"read": 40, "committed": 32, "quarantined": 8, "duplicate": 0, "filtered": 0}
    assert account["balanced"]
