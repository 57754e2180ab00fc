"""Long work: a job in a process of its own, followed, asked for once, cancelled, stopped with the server."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.web.site import Site


def events(client: httpx.Client, job: str, until: str, last: str | None = None) -> list[dict[str, Any]]:
    """What a job tells, up to the first event of this name (or the end)."""
    told: list[dict[str, Any]] = []
    headers = {} if last is None else {"last-event-id": last}
    with client.stream("GET", f"/api/v1/jobs/{job}/events", headers=headers, timeout=90) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        event: dict[str, Any] = {}
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if line == "":
                told += [event] if event else []
                if event.get("event") == until:
                    return told
                event = {}
            elif name:
                event[name] = json.loads(value) if name == "data" else value
    return told


def test_a_run_is_a_job_whose_outcome_is_the_report(site: Site):
    """Asked for twice by one key it is one job; by the same key for something else it is refused."""
    with site.client("operator") as client:
        key = {"idempotency-key": "once"}
        first = client.post("/api/v1/pipelines/orders/runs", headers=key)
        again = client.post("/api/v1/pipelines/orders/runs", headers=key)
        other = client.post("/api/v1/pipelines/slow/runs", headers=key)
        assert (first.status_code, again.status_code, other.status_code) == (202, 202, 422)
        assert first.json()["id"] == again.json()["id"]
        assert first.headers["location"] == f"/api/v1/jobs/{first.json()['id']}"
        ended = site.settled(client, first.json())
    assert ended["state"] == "done"
    assert ended["outcome"]["status"] in ("unchanged", "published")  # where another test has taken the first one back
    assert ended["caller"] == "user:operator"


def test_the_audit_trail_names_who_asked_for_a_job(site: Site, admin: httpx.Client):
    """The run of a child process is on the caller's behalf, not on that of who runs the server."""
    with site.client("operator") as client:
        client.post("/api/v1/pipelines/orders/verify", headers={"idempotency-key": "named"})
        job = client.post("/api/v1/pipelines/orders/verify", headers={"idempotency-key": "named"}).json()
        assert site.settled(client, job)["outcome"]["sound"] is True
    entries = admin.get("/api/v1/audit", params={"action": "pipeline.verify", "limit": 1}).json()["entries"]
    assert [each["name"] for each in entries] == ["user:operator"]
    requests = admin.get("/api/v1/audit", params={"action": "job.request", "limit": 500}).json()["entries"]
    assert sum(each["on"]["job"] == job["id"] for each in requests) == 1


def test_progress_is_followed_taken_up_again_and_cancelled(site: Site):
    """Whoever comes back with the last number is told what they missed; a cancelled run is interrupted, and kept."""
    with site.client("operator") as client:
        job = client.post("/api/v1/pipelines/slow/runs").json()["id"]
        told = events(client, job, until="progress")
        assert [each["id"] for each in told] == [str(number) for number in range(1, len(told) + 1)]
        assert told[-1]["data"]["pipeline"] == "slow"
        assert client.post(f"/api/v1/jobs/{job}/cancel").status_code == 202
        rest = events(client, job, until="outcome", last=told[-1]["id"])
        assert int(rest[0]["id"]) == int(told[-1]["id"]) + 1
        assert rest[-1]["data"]["state"] == "cancelled"
        assert rest[-1]["data"]["outcome"]["code"] == "RK-2001"
        shown = client.get(f"/api/v1/jobs/{job}").json()
    assert shown["state"] == "cancelled"


def test_others_jobs_are_not_seen_or_cancelled(site: Site):
    """By somebody without a role there is no such job; a viewer sees it, and may not cancel it."""
    with site.client("operator") as operator:
        job = operator.post("/api/v1/pipelines/orders/runs", headers={"idempotency-key": "once"}).json()["id"]
    with site.client("none") as nobody:
        answers = [nobody.get(f"/api/v1/jobs/{job}{more}") for more in ("", "/events")]
        answers.append(nobody.post(f"/api/v1/jobs/{job}/cancel"))
        missing = nobody.get("/api/v1/jobs/j_0000000000000000")
    assert {each.status_code for each in answers} == {404}
    assert missing.json()["detail"].replace("j_0000000000000000", job) == answers[0].json()["detail"]
    with site.client("viewer") as viewer:
        assert viewer.get(f"/api/v1/jobs/{job}").status_code == 200
        assert viewer.post(f"/api/v1/jobs/{job}/cancel").status_code == 403


def test_the_server_stops_in_time_and_interrupts_what_goes_on(tmp_path):
    """SIGTERM: a run under way is interrupted as by a command, whoever listens is let go, all in ten seconds."""
    from tests.arena import Arena

    site = Site(Arena(tmp_path / "site"))
    site.env = {"ROWKEEPER_SERVER_JOBS_MAX": "1"}  # the others wait, and do not ask for the same lease
    site.prepare()
    site.admit(("admin",))
    site.start()
    try:
        with site.client("admin") as client:
            job = client.post("/api/v1/pipelines/slow/runs").json()["id"]
            waiting = [client.post("/api/v1/pipelines/slow/runs").json()["id"] for _ in range(2)]
            last = None
            while not (told := events(client, job, until="progress", last=last))[-1]["data"]["account"]["read"]:
                last = told[-1]["id"]
        assert site.stop() < 10
        with site.opened() as space:
            found = {each.id: each for each in space.ledger.jobs.newest(limit=10)}
            assert found[job].state == "cancelled"
            assert found[waiting[-1]].state == "cancelled"
            assert (space.ledger.runs(limit=1)[0].pipeline, space.ledger.runs(limit=1)[0].status) == (
                "slow",
                "interrupted",
            )
    finally:
        site.arena.kill_host()
