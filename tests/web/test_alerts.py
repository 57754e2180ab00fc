"""Alerts over HTTP: listed, acknowledged, silenced, by whoever may."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from rowkeeper.operations.alerts import check_alerts
from tests.web.site import Site


def test_alerts_are_listed_acknowledged_and_silenced(site: Site):
    """A held run is one; who acknowledged and who silenced it stands there; a viewer sees that, and changes nothing."""
    with site.opened() as space:
        check_alerts(space)
    with site.client("viewer") as viewer, site.client("operator") as operator:
        found = viewer.get("/api/v1/alerts").json()
        (held,) = [each for each in found["alerts"] if each["rule"] == "run-held"]
        assert (held["state"], held["labels"]["pipeline"]) == ("firing", "held")
        assert found["looked_at"] is not None
        assert viewer.post(f"/api/v1/alerts/{held['id']}/ack", json={}).status_code == 403
        acked = operator.post(f"/api/v1/alerts/{held['id']}/ack", json={"note": "I look"}).json()
        assert (acked["state"], acked["acknowledged_by"], acked["note"]) == ("acknowledged", "user:operator", "I look")
        until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        wanted = {"match": ["pipeline=held"], "until": until, "reason": "it is being looked at"}
        made = operator.post("/api/v1/alerts/silences", json=wanted)
        assert (made.status_code, made.json()["who"]) == (201, "user:operator")
        (silence,) = viewer.get("/api/v1/alerts").json()["silences"]
        path = f"/api/v1/alerts/silences/{silence['number']}"
        assert [operator.delete(path).status_code for _ in range(2)] == [204, 404]


def test_a_silence_that_makes_no_sense_is_refused(site: Site):
    """One without matchers, one that names what no alert is known by, one that is over: nothing is made."""
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    with site.client("operator") as operator:
        for match, end in (([], until), (["pipelin=x"], until), (["rule=x"], "2001-01-01T00:00:00Z")):
            wanted = {"match": match, "until": end, "reason": "x"}
            assert 400 <= operator.post("/api/v1/alerts/silences", json=wanted).status_code < 500
        assert operator.get("/api/v1/alerts").json()["silences"] == []
