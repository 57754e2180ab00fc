"""Signing in and out: with a password, at an identity provider; the first user."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response
from typing_extensions import TypedDict

from rowkeeper.access.authentication import NewSession
from rowkeeper.access.authentication.credentials import csrf_of
from rowkeeper.caller import current_caller
from rowkeeper.errors import AuthenticationRequired
from rowkeeper.web.governed import Answer, Routes, anybody, current_request, whoever_signed_in
from rowkeeper.web.house import Space
from rowkeeper.web.identity import SESSION_COOKIE, address_of

OIDC_COOKIE = "__Host-rowkeeper-oidc"
OIDC_SECONDS = 600
CONSOLE = "/"
VISIBLE = r"^[\x20-\x7e]*$"  # what RFC 6749 lets a code be made of

routes = Routes("signing in")


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Login(_Closed):
    """What somebody shows."""

    name: Annotated[str, Field(max_length=100)]
    password: Annotated[str, Field(max_length=1024, json_schema_extra={"format": "password"})]
    code: Annotated[str | None, Field(max_length=64, description="Of the second factor, or a recovery code.")] = None


class FirstUser(_Closed):
    """The first user of a server."""

    token: Annotated[str, Field(max_length=256, description="As the server's console shows it.")]
    name: Annotated[str, Field(max_length=100)]
    password: Annotated[str, Field(max_length=1024, json_schema_extra={"format": "password"})]


class SessionBegun(TypedDict):
    """A session; its secret is in the cookie alone."""

    id: str
    user: str
    csrf: str
    expires_at: str


class SessionNow(TypedDict):
    """The session that asks."""

    id: str
    user: str
    roles: list[str]
    csrf: str


class UserMade(TypedDict):
    """An account."""

    user: str


@routes.post("/login", anybody("it is how one signs in"))
def login(space: Space, shown: Login) -> Answer[SessionBegun]:
    """Begins a session: a cookie, and the token that requests which change something have to bring besides."""
    begun = space.authentication.login(shown.name, shown.password, shown.code, address_of(current_request()))
    return Answer(_document(begun), headers={"set-cookie": _cookie(SESSION_COOKIE, begun.secret)})


@routes.post("/logout", whoever_signed_in("it ends the caller's own session"), status_code=204, response_model=None)
def logout(space: Space) -> Answer[None]:
    """Ends the session that asks."""
    _session()
    space.authentication.logout()
    return Answer(None, 204, {"set-cookie": _cookie(SESSION_COOKIE, "", 0)})


@routes.get("/session", whoever_signed_in("it is about the caller's own session"))
def show_session() -> SessionNow:
    """The session that asks: for a page that was loaded anew, and has forgotten its token."""
    id, secret = _session()
    caller = current_caller()
    return {"id": id, "user": caller.name, "roles": sorted(caller.roles), "csrf": csrf_of(secret)}


@routes.post("/first-user", anybody("there is nobody yet who could sign in"), status_code=201)
def make_first_user(space: Space, first: FirstUser) -> Answer[UserMade]:
    """Makes the first user, by the token that the server's console shows, from the server's own machine."""
    address = address_of(current_request())
    space.authentication.first_user.claim(first.token, first.name, first.password, address)
    return Answer({"user": first.name}, 201)


@routes.get("/oidc/start", anybody("it is how one signs in"), status_code=303, response_model=None)
def start_oidc(space: Space) -> Response:
    """Sends the browser to the identity provider."""
    started = space.authentication.oidc.start()
    cookie = _cookie(OIDC_COOKIE, started.browser, OIDC_SECONDS)
    return Response(status_code=303, headers={"location": started.url, "set-cookie": cookie})


@routes.get("/oidc/callback", anybody("it is how one signs in"), status_code=303, response_model=None)
def finish_oidc(
    space: Space,
    state: Annotated[str, Query(max_length=128, pattern=r"^[A-Za-z0-9_-]+$")],
    code: Annotated[str | None, Query(max_length=2048, pattern=VISIBLE)] = None,
    iss: Annotated[str | None, Query(max_length=512, pattern=VISIBLE)] = None,
) -> Response:
    """Where the identity provider sends the browser back to: begins a session."""
    request = current_request()
    browser = request.cookies.get(OIDC_COOKIE, "")
    begun = space.authentication.oidc.finish(state, code, browser, address_of(request), issuer=iss)
    answer = Response(status_code=303, headers={"location": CONSOLE})
    answer.headers.append("set-cookie", _cookie(SESSION_COOKIE, begun.secret))
    answer.headers.append("set-cookie", _cookie(OIDC_COOKIE, "", 0))
    return answer


def _session() -> tuple[str, str]:
    """The id and the secret of the session that asks. Raises AuthenticationRequired if none does."""
    caller, secret = current_caller(), current_request().cookies.get(SESSION_COOKIE)
    if not caller.is_session or caller.session is None or secret is None:
        raise AuthenticationRequired("there is no session, but a token or a certificate", hint="sign in")
    return caller.session, secret


def _document(begun: NewSession) -> SessionBegun:
    return {
        "id": begun.id,
        "user": begun.user,
        "csrf": begun.csrf,
        "expires_at": begun.expires_at.isoformat(timespec="seconds"),
    }


def _cookie(name: str, value: str, seconds: int | None = None) -> str:
    """A cookie that no script reads, that goes to this host by TLS alone, and with no form of another site.

    `Lax`, as whoever comes back from the identity provider comes from another site.
    """
    age = "" if seconds is None else f"; Max-Age={seconds}"
    return f"{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax{age}"
