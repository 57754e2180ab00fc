"""Security events and their counts over HTTP: the audit trail as OCSF has it."""

from __future__ import annotations

import json

import httpx

from tests.web.site import Site


def test_events_are_listed_by_class_and_outcome(site: Site):
    """A refusal is an event of the next moment, of its class, and of whoever was refused."""
    with site.client("viewer") as viewer:
        assert viewer.get("/api/v1/users/viewer").status_code == 403
    with site.client("security-officer") as officer:
        found = officer.get("/api/v1/events", params={"outcome": "refused", "limit": 5}).json()["events"]
        accounts = officer.get("/api/v1/events", params={"class": "account_change", "limit": 100}).json()["events"]
    assert found[-1]["actor"]["user"]["name"] == "user:viewer"
    assert accounts
    assert {each["class_uid"] for each in accounts} == {3001}


def test_all_events_come_as_lines(site: Site):
    """In the order of the trail; a time cuts them off."""
    with site.client("security-officer") as officer:
        lines = officer.get("/api/v1/events/export").text.splitlines()
        none = officer.get("/api/v1/events/export", params={"since": "2199-01-01T00:00:00Z"}).text
    uids = [json.loads(line)["metadata"]["uid"] for line in lines]
    assert len(uids) == len(set(uids)) > 10
    entries = [uid.partition("/")[2] for uid in uids]
    numbers = [int(entry) for entry in entries if entry.isdigit()]  # the others are detections
    assert numbers == list(range(len(numbers)))
    assert none == ""


def test_a_time_without_its_zone_is_refused(site: Site):
    """It would be another moment elsewhere; and a number is no time."""
    with site.client("security-officer") as officer:
        for text in ("2026-11-26T08:00:00", "0.5", "1795690429"):
            assert officer.get("/api/v1/events", params={"since": text}).status_code == 422


def test_events_are_counted_in_the_metrics(site: Site, admin: httpx.Client):
    """By class and outcome; a refusal more is one more."""

    def refused() -> float:
        name = 'rowkeeper_security_events_total{class="account_change",outcome="refused"}'
        text = admin.get("/metrics").text
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))

    before = refused()
    with site.client("viewer") as viewer:
        answer = viewer.put("/api/v1/users/viewer/roles/admin")
    assert answer.status_code == 403, answer.text
    assert refused() >= before
