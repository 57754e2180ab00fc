"""What monitors are told over HTTPS: one word to anybody, the details to whoever may see them."""

from __future__ import annotations

from tests.web.site import Site


def test_anybody_is_told_one_word_and_nothing_else(site: Site):
    """The status says whether somebody has to see to it: a run of the site is held, which is bad."""
    with site.client() as client:
        answer = client.get("/health")
    assert answer.status_code == 503
    assert set(answer.json()) == {"state", "looked_at"}
    assert answer.json()["state"] == "bad"


def test_who_may_see_details_is_shown_each_check(site: Site):
    """The worst first; the same as the command tells."""
    with site.client("viewer") as client:
        answer = client.get("/health")
    checks = answer.json()["checks"]
    assert (checks[0]["name"], checks[0]["subject"], checks[0]["state"]) == ("run", "held/2", "bad")
    assert {"ledger", "disk", "memory", "clock", "engine", "key"} <= {each["name"] for each in checks}
    assert set(checks[0]) == {"name", "subject", "state", "since", "told", "limit", "mend"}


def test_who_may_not_is_told_the_word_alone(site: Site):
    """Signed in, and without a role; credentials that are none are refused."""
    with site.client("none") as client:
        assert set(client.get("/health").json()) == {"state", "looked_at"}
    with site.client() as client:
        assert client.get("/health", headers={"authorization": "Bearer wrong"}).status_code == 401


def test_a_look_serves_all_who_ask_within_some_seconds(site: Site):
    """However often it is asked for."""
    with site.client() as client:
        times = {client.get("/health").json()["looked_at"] for _ in range(5)}
    assert len(times) == 1


def test_the_former_address_has_what_it_had_and_the_checks(site: Site):
    """Leases, breakers and runs that wait are still there."""
    with site.client("admin") as client:
        found = client.get("/api/v1/health").json()
    assert {"started_at", "jobs", "leases", "breakers", "unfinished", "spooled", "state", "checks"} <= set(found)
    assert found["unfinished"] == 1
