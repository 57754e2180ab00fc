"""Signing in by real HTTPS: cookies, CSRF, tokens, client certificates, an identity provider, the first user."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pyotp
import pytest

from rowkeeper.caller import CallerKind
from rowkeeper.security.apitoken import is_token
from rowkeeper.security.tls.authority import Authority, Wish
from tests.access.authentication.identity_provider import CLIENT, SECRET, IdentityProvider
from tests.access.authentication.installation import OTHER, PASSWORD
from tests.arena import Arena
from tests.web.site import PIPELINES, Site

API = "/api/v1"
COOKIE = "__Host-rowkeeper"
PEOPLE = ("ann", "bea", "cyd", "dan", "eve", "fay")


@pytest.fixture(scope="module")
def provider() -> Iterator[IdentityProvider]:
    made = IdentityProvider(lambda: datetime.now(UTC), person={"sub": "8f1c", "preferred_username": "ida"})
    yield made
    made.close()


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, provider: IdentityProvider) -> Iterator[Site]:
    """A server with accounts, an authority for client certificates, and an identity provider."""
    made = Site(Arena(tmp_path_factory.mktemp("door")))
    made.arena.write("pipes.py", PIPELINES)
    made.arena.env |= {
        "ROWKEEPER_SERVER_ADDRESS_RATE": "100000",
        "ROWKEEPER_SERVER_CALLER_RATE": "100000",
        "ROWKEEPER_SERVER_CLIENT_CA": str(made.ca),
        "ROWKEEPER_SERVER_CLIENT_CRL": str(made.ca.with_name("crl.pem")),
        "ROWKEEPER_OIDC_ISSUER": provider.issuer,
        "ROWKEEPER_OIDC_CLIENT_ID": CLIENT,
        "ROWKEEPER_OIDC_CLIENT_SECRET": "env:OIDC_SECRET",
        "ROWKEEPER_OIDC_REDIRECT_URL": "https://rowkeeper.example:7443/api/v1/oidc/callback",
        "OIDC_SECRET": SECRET,
    }
    made.admit()
    with made.opened() as space:
        for name in PEOPLE:
            space.ledger.users.add(name, roles=frozenset({"viewer"}))
            space.authentication.change_password(name, PASSWORD)
        space.ledger.users.add("ida", roles=frozenset({"viewer"}))
        space.ledger.users.add("loader", CallerKind.SERVICE, frozenset({"operator"}))
        authority = Authority.of(space.folder)
        authority.found("Test authority")
        authority.issue("loader", Wish(["loader.example"], ("client",)))
        authority.issue("gone", Wish(["gone.example"], ("client",)))
        for name in ("loader", "gone"):
            space.authentication.certificates.bind("loader", f"cn:{name}.example")
    made.start()
    yield made
    made.stop()


def login(client: httpx.Client, name: str, password: str = PASSWORD, **more: Any) -> httpx.Response:
    return client.post(f"{API}/login", json={"name": name, "password": password, **more})


@pytest.fixture
def browser(door: Site) -> Iterator[httpx.Client]:
    """Somebody who has not signed in yet, with a jar for cookies."""
    with door.client() as client:
        yield client


def signed_in(client: httpx.Client, name: str, password: str = PASSWORD) -> httpx.Client:
    answer = login(client, name, password)
    assert answer.status_code == 200, answer.text
    client.headers["x-csrf-token"] = answer.json()["csrf"]
    return client


def test_a_session_is_a_cookie_that_no_script_and_no_other_site_has(browser: httpx.Client):
    """`__Host-`, Secure, HttpOnly, SameSite; its secret is not in the answer, and nobody keeps a copy of that."""
    answer = login(browser, "ann")
    cookie = answer.headers["set-cookie"]
    secret = cookie.partition("=")[2].partition(";")[0]
    assert set(cookie.split("; ")[1:]) == {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"}
    assert cookie.startswith(f"{COOKIE}=")
    assert secret not in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert browser.get(f"{API}/whoami").json()["caller"] == "user:ann"


def test_one_answer_for_whatever_is_wrong(browser: httpx.Client):
    """Byte for byte, for an unknown name and a wrong password."""
    unknown, wrong = login(browser, "nobody", OTHER), login(browser, "bea", OTHER)
    assert unknown.status_code == wrong.status_code == 401
    assert unknown.content == wrong.content
    assert unknown.json()["code"] == "RK-6081"
    assert dict(unknown.headers) | {"date": ""} == dict(wrong.headers) | {"date": ""}


def test_without_the_token_of_the_session_nothing_is_changed(browser: httpx.Client):
    """CSRF: the cookie alone reads, and does nothing; nor with another session's token."""
    csrf = signed_in(browser, "ann").headers.pop("x-csrf-token")
    token = {"label": "x"}
    for wrong in ({}, {"x-csrf-token": ""}, {"x-csrf-token": csrf[::-1]}):
        answer = browser.post(f"{API}/me/tokens", json=token, headers=wrong)
        assert (answer.status_code, answer.json()["code"]) == (403, "RK-6087")
    assert browser.get(f"{API}/me/tokens").json() == {"tokens": []}
    assert browser.post(f"{API}/me/tokens", json=token, headers={"x-csrf-token": csrf}).status_code == 201


def test_a_page_that_was_loaded_anew_gets_its_token_again(browser: httpx.Client):
    """By the session's cookie; by an API token there is none."""
    csrf = signed_in(browser, "ann").headers["x-csrf-token"]
    told = browser.get(f"{API}/session").json()
    assert (told["user"], told["roles"], told["csrf"]) == ("ann", ["viewer"], csrf)


def test_logout_ends_it(browser: httpx.Client):
    """At the server: a copy of the cookie is worth nothing, and the browser forgets its own."""
    signed_in(browser, "ann")
    copy = browser.cookies[COOKIE]
    answer = browser.post(f"{API}/logout")
    assert answer.status_code == 204
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert browser.get(f"{API}/whoami", headers={"cookie": f"{COOKIE}={copy}"}).status_code == 401


def test_sessions_that_survive_a_password_reset(door: Site, browser: httpx.Client):
    """A mistake of others: by a command of another process, and by oneself, all of them end."""
    signed_in(browser, "dan")
    with door.client() as other:
        signed_in(other, "dan")
        answer = other.post(f"{API}/me/password", json={"current": PASSWORD, "new": OTHER})
        assert len(answer.json()["sessions_ended"]) == 2
        assert {each.get(f"{API}/whoami").status_code for each in (browser, other)} == {401}
    assert login(browser, "dan").status_code == 401
    browser.cookies.clear()
    signed_in(browser, "dan", OTHER)
    with door.opened() as space:
        space.authentication.change_password("dan", PASSWORD)
        ended = space.ledger.signing_in.clock()
    _until_refused(browser, ended)


def test_role_loss_by_another_process_ends_sessions(door: Site, browser: httpx.Client):
    """`rowkeeper users take`: within a second the server knows."""
    signed_in(browser, "eve")
    assert browser.get(f"{API}/whoami").status_code == 200
    with door.opened() as space:
        space.ledger.users.take("eve", "viewer")
        taken = space.ledger.signing_in.clock()
    _until_refused(browser, taken)


def _until_refused(client: httpx.Client, since: datetime) -> None:
    """What was cached counts for a second, and no longer."""
    while client.get(f"{API}/whoami").status_code != 401:
        assert (datetime.now(UTC) - since).total_seconds() < 3  # a busy machine answers late


def test_a_second_factor(door: Site, browser: httpx.Client):
    """Set up by oneself, asked for at the next login, its code good once, taken away with password and code."""
    signed_in(browser, "fay")
    assert browser.post(f"{API}/me/second-factor", json={"password": OTHER}).status_code == 401
    made = browser.post(f"{API}/me/second-factor", json={"password": PASSWORD})
    totp = pyotp.parse_uri(made.json()["uri"])
    assert isinstance(totp, pyotp.TOTP)
    codes = browser.post(f"{API}/me/second-factor/confirm", json={"code": totp.now()}).json()["recovery_codes"]
    browser.cookies.clear()
    asked = login(browser, "fay")
    assert (asked.status_code, asked.json()["code"]) == (401, "RK-6082")
    assert "set-cookie" not in asked.headers
    assert login(browser, "fay", code=totp.now()).status_code == 401  # it confirmed the enrolment
    answer = login(browser, "fay", code=codes[0])
    assert answer.status_code == 200
    proof = {"password": PASSWORD, "code": codes[1]}
    removed = browser.post(
        f"{API}/me/second-factor/remove", json=proof, headers={"x-csrf-token": answer.json()["csrf"]}
    )
    assert removed.status_code == 204
    browser.cookies.clear()
    assert login(browser, "fay").status_code == 200


def test_tokens_are_made_used_and_revoked(door: Site, browser: httpx.Client):
    """Told once, limited, and over at once when they are revoked."""
    signed_in(browser, "ann")
    made = browser.post(f"{API}/me/tokens", json={"label": "nightly", "days": 1, "pipelines": ["held"]}).json()
    assert is_token(made["text"])
    listed = browser.get(f"{API}/me/tokens").text
    assert made["token"]["id"] in listed
    assert made["text"] not in listed
    with door.client() as program:
        program.headers["authorization"] = f"Bearer {made['text']}"
        assert program.get(f"{API}/whoami").json()["caller"] == "user:ann"
        assert program.get(f"{API}/pipelines/held").status_code == 200
        assert program.get(f"{API}/pipelines/orders").status_code == 403
        assert [each["name"] for each in program.get(f"{API}/pipelines").json()["pipelines"]] == ["held"]
        for path in ("me/tokens", "me/sessions", "session"):
            assert program.get(f"{API}/{path}").status_code == 401, path
        assert browser.delete(f"{API}/me/tokens/{made['token']['id']}").json()["revoked_at"]
        assert program.get(f"{API}/whoami").status_code == 401


def test_what_is_another_persons_is_not_mine(door: Site, browser: httpx.Client):
    """Neither seen nor ended nor made, by whoever has no permission for it."""
    signed_in(browser, "ann")
    with door.client() as other:
        signed_in(other, "bea")
        theirs = other.post(f"{API}/me/tokens", json={"label": "x"}).json()["token"]["id"]
        for method, path, body in (
            ("GET", "users/bea/sessions", None),
            ("DELETE", "users/bea/sessions", None),
            ("GET", "users/bea/tokens", None),
            ("POST", "users/bea/tokens", {"label": "x"}),
            ("DELETE", f"users/bea/tokens/{theirs}", None),
            ("POST", "users/bea/password", {"new": OTHER}),
            ("DELETE", "users/bea/second-factor", None),
        ):
            assert browser.request(method, f"{API}/{path}", json=body).status_code == 403, path
        assert browser.delete(f"{API}/me/tokens/{theirs}").status_code in (404, 422)
        assert other.get(f"{API}/whoami").status_code == 200


def test_an_admin_helps_others_in_a_session_and_not_by_token(door: Site, browser: httpx.Client):
    """A stolen token of an admin's sets nobody's password."""
    with door.client("admin") as program:
        answer = program.post(f"{API}/users/cyd/password", json={"new": OTHER})
        assert (answer.status_code, answer.json()["code"]) == (401, "RK-6080")
    with door.opened() as space:
        space.authentication.change_password("admin", PASSWORD)
    signed_in(browser, "admin")
    with door.client() as cyd:
        signed_in(cyd, "cyd")
        assert len(browser.get(f"{API}/users/cyd/sessions").json()["sessions"]) == 1
        assert len(browser.post(f"{API}/users/cyd/password", json={"new": OTHER}).json()["sessions_ended"]) == 1
        assert cyd.get(f"{API}/whoami").status_code == 401
    made = browser.post(f"{API}/users/loader/tokens", json={"label": "x", "roles": ["operator"]})
    assert made.status_code == 201
    assert browser.delete(f"{API}/users/loader/tokens/{made.json()['token']['id']}").status_code == 200


@pytest.mark.parametrize("id", ["..%2F..%2Fetc%2Fpasswd", "%2e%2e", "t_0%00", "' OR 1=1", "s_" + "0" * 16, "\u0661"])
def test_path_traversal_through_ids(browser: httpx.Client, id: str):
    """A mistake of others: what is no id leads nowhere, and is no fault of the server's."""
    signed_in(browser, "ann")
    for kind in ("tokens", "sessions"):
        answer = browser.delete(f"{API}/me/{kind}/{id}")
        assert answer.status_code in (200, 404, 405, 422)
        assert answer.status_code != 200 or answer.json() == {"sessions_ended": []}
    assert browser.get(f"{API}/whoami").status_code == 200


@pytest.mark.parametrize(
    "body", [{}, {"name": "ann"}, {"name": "ann", "password": 7}, {"name": "ann", "password": "hunter2", "x": 1}, []]
)
def test_a_body_that_is_none_is_told_without_the_password(browser: httpx.Client, body: Any):
    """Where, and what is wanted."""
    answer = browser.post(f"{API}/login", json=body)
    assert answer.status_code == 422
    assert "hunter2" not in answer.text


# ------------------------------------------------------------------------------------------ certificates


def _with_certificate(door: Site, name: str) -> httpx.Client:
    context = door.context()
    folder = door.ca.parent / name
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return httpx.Client(base_url=door.url, verify=context, timeout=30)


def test_a_machine_by_mutual_tls(door: Site):
    """A certificate of our authority, bound to a service."""
    with _with_certificate(door, "loader") as machine:
        told = machine.get(f"{API}/whoami").json()
    assert (told["caller"], told["roles"]) == ("service:loader", ["operator"])


def test_a_revoked_certificate_is_let_in_nowhere(door: Site):
    """`rowkeeper certs revoke`, of a server that is up: no handshake, or no caller."""
    with _with_certificate(door, "gone") as machine:
        assert machine.get(f"{API}/whoami").status_code == 200
        with door.opened() as space:
            kept = [path.read_bytes() for path in (door.ca.parent / "gone").iterdir()]
            assert kept
            Authority.of(space.folder).revoke("gone")
            revoked = space.ledger.signing_in.clock()
        _until_refused(machine, revoked)


# -------------------------------------------------------------------------------------- identity provider


def test_signing_in_at_the_identity_provider(door: Site, browser: httpx.Client, provider: IdentityProvider):
    """A browser goes there and comes back with a session; the answer in another browser is worth nothing."""
    started = browser.get(f"{API}/oidc/start")
    assert started.status_code == 303
    assert set(started.headers["set-cookie"].split("; ")[1:]) == {
        "Path=/",
        "Secure",
        "HttpOnly",
        "SameSite=Lax",
        "Max-Age=600",
    }
    answer = httpx.get(started.headers["location"], trust_env=False)
    back = urlsplit(answer.headers["location"])
    with door.client() as other:
        second = browser.get(f"{API}/oidc/start")
        stolen = urlsplit(httpx.get(second.headers["location"], trust_env=False).headers["location"])
        refused = other.get(f"{stolen.path}?{stolen.query}")
        assert (refused.status_code, refused.json()["code"]) == (401, "RK-6085")
        assert "set-cookie" not in refused.headers
    browser.cookies.set("__Host-rowkeeper-oidc", started.cookies["__Host-rowkeeper-oidc"])
    done = browser.get(f"{back.path}?{back.query}", headers={"sec-fetch-site": "cross-site"})
    assert (done.status_code, done.headers["location"]) == (303, "/")
    assert parse_qs(back.query)["code"][0] not in done.text
    who = browser.get(f"{API}/whoami", headers={"cookie": f"{COOKIE}={done.cookies[COOKIE]}"})
    assert who.json()["caller"] == "user:ida"


# ------------------------------------------------------------------------------------------- first user


def test_setup_takeover(own_site: Site):
    """A mistake of others: the token of the console is wanted, and is good once; a start later there is none."""
    own_site.arena.write("pipes.py", PIPELINES)
    own_site.start()
    token = own_site.heard()["first_user_token"]
    first = {"name": "ann", "password": PASSWORD}
    with own_site.client() as client:
        for wrong in ("", "x" * 43):
            answer = client.post(f"{API}/first-user", json={**first, "token": wrong})
            assert (answer.status_code, answer.json()["code"]) == (403, "RK-6086")
        assert client.post(f"{API}/first-user", json={**first, "token": token}).status_code == 201
        again = client.post(f"{API}/first-user", json={**first, "name": "eve", "token": token})
        assert again.status_code == 403
        signed_in(client, "ann")
        assert client.get(f"{API}/whoami").json()["roles"] == ["admin"]
    own_site.stop()
    own_site.start()
    assert own_site.heard()["first_user_token"] is None


def test_nothing_is_asked_of_tls_that_a_browser_has_not(door: Site):
    """A client without a certificate is let in to sign in."""
    context = ssl.create_default_context(cafile=door.ca)
    with httpx.Client(base_url=door.url, verify=context) as client:
        assert client.get(f"{API}/whoami").status_code == 401
