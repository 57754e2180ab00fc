"""Mistakes that other data tools made, each tried here by its name."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.web.site import Site


def test_unauthenticated_control_plane(site: Site):
    """What starts, stops and changes things is closed to whoever shows nothing."""
    with site.client() as client:
        assert client.post("/api/v1/pipelines/orders/runs").status_code == 401
        assert client.get("/api/v1/openapi.json").status_code == 401
        assert client.get("/docs").status_code == 404


@pytest.mark.parametrize("method", ["HEAD", "PATCH", "OPTIONS", "TRACE", "NONSENSE"])
def test_method_blacklists(site: Site, method: str):
    """Methods are listed for each route: no other way of writing one gets past the asking."""
    with site.client("none") as client:
        answer = client.send(client.build_request(method, "/api/v1/keys/samples/rotate"))
    assert answer.status_code in (400, 405)


def test_authorisation_on_create_but_not_on_update(site: Site):
    """Whoever may not make an account may not change one either, by any of the ways to."""
    ways = [("POST", "disable"), ("POST", "enable"), ("PUT", "roles/admin"), ("DELETE", "roles/admin")]
    with site.client("operator") as client:
        assert client.post("/api/v1/users", json={"name": "eve", "roles": ["admin"]}).status_code == 403
        for method, way in ways:
            assert client.request(method, f"/api/v1/users/viewer/{way}").status_code == 403


def test_lists_and_errors_leak_no_others_objects(site: Site):
    """Whether there is such a run, pipeline or account is not told to who may not see it, to the letter."""
    with site.client("none") as client:
        for there, missing in (
            ("runs/1", "runs/999"),
            ("pipelines/orders", "pipelines/nothing"),
            ("users/admin", "users/zz"),
        ):
            one, other = client.get(f"/api/v1/{there}"), client.get(f"/api/v1/{missing}")
            assert one.status_code == other.status_code == 403
            name, absent = there.rpartition("/")[2], missing.rpartition("/")[2]
            assert one.text.replace(name, absent) == other.text


@pytest.mark.parametrize(
    "id", ["../../etc/passwd", "..%2f..%2fhome.json", "%2e%2e/keys.json", "j_..%00", "1;ls", "{{7*7}}"]
)
@pytest.mark.parametrize("path", ["jobs/{}", "runs/{}", "pipelines/{}/profile", "quarantine/{}", "audit/{}/proof"])
def test_path_traversal_through_ids(admin: httpx.Client, path: str, id: str):
    """An id is a number or a name of a narrow form; whatever else is refused before anything is opened."""
    answer = admin.get(f"/api/v1/{path.format(id)}")
    assert answer.status_code in (400, 404, 422)
    assert "root:" not in answer.text


@pytest.mark.parametrize("kind", ["application/x-python-pickle", "application/x-yaml", "text/plain", "application/xml"])
def test_unsafe_deserialisation(admin: httpx.Client, kind: str):
    """Bodies are JSON, or refused."""
    body = b"cos\nsystem\n(S'true'\ntR."
    assert admin.post("/api/v1/query", content=body, headers={"content-type": kind}).status_code == 422


@pytest.mark.parametrize(
    "text", ["$(touch pwned)", "`touch pwned`", "; touch pwned", "{{7*7}}", "${7*7}", "%(x)s", "<b>"]
)
def test_template_and_shell_injection(site: Site, admin: httpx.Client, text: str):
    """What is typed stays text: no shell, no template reads it."""
    answers = [
        admin.get("/api/v1/runs", params={"pipeline": text}),
        admin.get(f"/api/v1/pipelines/{text}"),
        admin.post("/api/v1/runs/999/abandon", json={"reason": text}),
    ]
    assert answers[0].status_code == 200
    assert all("49" not in each.json().get("detail", "") for each in answers)
    assert not list(site.arena.folder.rglob("pwned"))


def test_raw_driver_options(admin: httpx.Client):
    """A query takes its SQL and nothing that a driver would understand."""
    for more in ({"settings": {"readonly": 0}}, {"host": "evil"}, {"options": {}}, {"url": "file:///etc/passwd"}):
        answer = admin.post("/api/v1/query", json={"sql": "SELECT 1", **more})
        assert answer.status_code == 422


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM sqlite('ledger.sqlite', 'runs')",
        "SELECT * FROM file('/etc/passwd')",
        "SELECT * FROM url('http://127.0.0.1/')",
        "SELECT * FROM system.tables",
        "SELECT 1 SETTINGS readonly = 0",
        "SET readonly = 0",
        "SELECT 1; DROP TABLE orders",
    ],
)
def test_user_sql_reaches_no_metadata_store(admin: httpx.Client, sql: str):
    """Neither the ledger nor the engine's own tables, files or addresses."""
    answer = admin.post("/api/v1/query", json={"sql": sql})
    assert answer.status_code in (403, 422), answer.text
    assert "root:" not in answer.text


def test_secrets_and_values_in_errors(admin: httpx.Client):
    """A request that is wrong is told where, and nothing of it is repeated."""
    secret = "hunter2-hunter2"
    wrong: list[dict[str, Any]] = [{"sql": [secret]}, {"sql": "SELECT 1", "purpose": f"{secret} {secret}"}, {secret: 1}]
    for body in wrong[:2]:
        answer = admin.post("/api/v1/query", json=body)
        assert answer.status_code == 422
        assert secret not in answer.text
    answer = admin.post("/api/v1/users", json={"name": f"{secret} {secret}"})
    assert secret not in answer.text


def test_pages_of_other_origins_ask_nothing(admin: httpx.Client):
    """No CORS, and no request that a browser sends on behalf of another site."""
    for headers in ({"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        answer = admin.post("/api/v1/query", json={"sql": "SELECT 1"}, headers=headers)
        assert answer.status_code == 403
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_every_answer_has_the_headers_that_keep_browsers_safe(admin: httpx.Client):
    """Also errors."""
    for path in ("/api/v1/whoami", "/nothing", "/health/live"):
        headers = admin.get(path).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["strict-transport-security"].startswith("max-age=31536000")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers


def test_an_etag_saves_the_document(admin: httpx.Client):
    """While nothing changed."""
    first = admin.get("/api/v1/runs/1")
    again = admin.get("/api/v1/runs/1", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
