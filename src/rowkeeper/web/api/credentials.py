"""How accounts are recognised: passwords, second factors, sessions, API tokens; one's own, and those of others."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from rowkeeper.access import of_user
from rowkeeper.caller import CallerKind, current_caller
from rowkeeper.errors import AuthenticationRequired
from rowkeeper.operations.credentials import SessionDocument, TokenDocument, session_document, token_document
from rowkeeper.web.api.users import Name
from rowkeeper.web.governed import Answer, Routes, asks, whoever_signed_in
from rowkeeper.web.house import Space

OWN = whoever_signed_in("it is about the caller's own account")
SessionId = Annotated[str, Path(pattern=r"^s_[0-9a-f]{16}$", description="The id of a session.")]
TokenId = Annotated[str, Path(pattern=r"^t_[0-9a-f]{16}$", description="The id of an API token.")]
Secret = Annotated[str, Field(max_length=1024, json_schema_extra={"format": "password"})]
Code = Annotated[str, Field(max_length=64)]
Names = Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=100)]

routes = Routes("credentials")


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class OwnPassword(_Closed):
    """A new password, and the one so far."""

    current: Secret
    new: Secret


class NewPassword(_Closed):
    """A new password for somebody else."""

    new: Secret


class Proof(_Closed):
    """One's password, once more."""

    password: Secret


class ProofWithCode(Proof):
    """And a code of the second factor."""

    code: Code


class FirstCode(_Closed):
    """What the authenticator shows."""

    code: Code


class NewToken(_Closed):
    """An API token to be made. What is left out is not limited."""

    label: Annotated[str, Field(min_length=1, max_length=100)]
    days: Annotated[int, Field(ge=1, le=366)] = 90
    roles: Names | None = None
    actions: Names | None = None
    pipelines: Names | None = None


class Ended(TypedDict):
    """The ids of sessions that ended."""

    sessions_ended: list[str]


class Sessions(TypedDict):
    """Sessions, the newest first."""

    sessions: list[SessionDocument]


class Tokens(TypedDict):
    """API tokens, the newest first."""

    tokens: list[TokenDocument]


class TokenMade(TypedDict):
    """An API token; its text is told this once."""

    text: str
    token: TokenDocument


class Enrolled(TypedDict):
    """For the authenticator; told this once."""

    secret: str
    uri: str


class RecoveryCodes(TypedDict):
    """Each stands once in the place of a code; told this once."""

    recovery_codes: list[str]


# ------------------------------------------------------------------------------------------------- one's own


def _own() -> str:
    """The caller's account. Raises AuthenticationRequired if there is none."""
    caller = current_caller()
    if caller.kind is not CallerKind.USER or not caller.is_session:
        raise AuthenticationRequired("this takes a session, not a token or a certificate", hint="sign in")
    return caller.name


@routes.post("/me/password", OWN)
def change_own_password(space: Space, change: OwnPassword) -> Ended:
    """Gives the caller another password. All of the caller's sessions end, this one too."""
    return {"sessions_ended": space.authentication.change_password(_own(), change.new, change.current)}


@routes.get("/me/sessions", OWN)
def list_own_sessions(space: Space) -> Sessions:
    """The caller's sessions."""
    return {"sessions": [session_document(each) for each in space.authentication.accounts.sessions(_own())]}


@routes.delete("/me/sessions", OWN)
def end_own_sessions(space: Space) -> Ended:
    """Ends all of the caller's sessions, this one too."""
    return {"sessions_ended": space.authentication.accounts.revoke_sessions(_own())}


@routes.delete("/me/sessions/{id}", OWN)
def end_own_session(space: Space, id: SessionId) -> Ended:
    """Ends one of the caller's sessions."""
    return {"sessions_ended": space.authentication.accounts.revoke_sessions(_own(), [id])}


@routes.get("/me/tokens", OWN)
def list_own_tokens(space: Space) -> Tokens:
    """The caller's API tokens."""
    return {"tokens": [token_document(each) for each in space.authentication.accounts.tokens(_own())]}


@routes.post("/me/tokens", OWN, status_code=201)
def make_own_token(space: Space, token: NewToken) -> Answer[TokenMade]:
    """Makes an API token that can do no more than the caller."""
    return _made(space, _own(), token)


@routes.delete("/me/tokens/{id}", OWN)
def revoke_own_token(space: Space, id: TokenId) -> TokenDocument:
    """Revokes one of the caller's API tokens."""
    return token_document(space.authentication.accounts.revoke_token(id, _own()))


@routes.post("/me/second-factor", OWN, status_code=201)
def enrol_own_factor(space: Space, proof: Proof) -> Answer[Enrolled]:
    """Begins to set up a second factor: the secret goes into an authenticator, whose code confirms it."""
    made = space.authentication.factors.enrol(_own(), proof.password)
    return Answer({"secret": made.secret, "uri": made.uri}, 201)


@routes.post("/me/second-factor/confirm", OWN)
def confirm_own_factor(space: Space, first: FirstCode) -> RecoveryCodes:
    """From now on codes are asked for."""
    return {"recovery_codes": space.authentication.factors.confirm(_own(), first.code)}


@routes.post("/me/second-factor/remove", OWN, status_code=204, response_model=None)
def remove_own_factor(space: Space, proof: ProofWithCode) -> Answer[None]:
    """Takes the caller's second factor away."""
    space.authentication.factors.remove(_own(), proof.password, proof.code)
    return Answer(None, 204)


# ------------------------------------------------------------------------------------------------- of others


@routes.post("/users/{name}/password", asks("user.change"))
def set_password(space: Space, name: Name, change: NewPassword) -> Ended:
    """Gives somebody another password; all their sessions end."""
    space.access.require("user.change", of_user(name))
    return {"sessions_ended": space.authentication.change_password(name, change.new)}


@routes.delete("/users/{name}/second-factor", asks("user.change"), status_code=204, response_model=None)
def remove_factor(space: Space, name: Name) -> Answer[None]:
    """Takes somebody's second factor away, who has lost the device and the recovery codes."""
    space.access.require("user.change", of_user(name))
    space.authentication.factors.remove(name)
    return Answer(None, 204)


@routes.get("/users/{name}/sessions", asks("user.list"))
def list_sessions(space: Space, name: Name) -> Sessions:
    """Somebody's sessions."""
    space.access.require("user.list", of_user(name))
    return {"sessions": [session_document(each) for each in space.authentication.accounts.sessions(name)]}


@routes.delete("/users/{name}/sessions", asks("user.change"))
def end_sessions(space: Space, name: Name) -> Ended:
    """Ends all of somebody's sessions."""
    space.access.require("user.change", of_user(name))
    return {"sessions_ended": space.authentication.accounts.revoke_sessions(name)}


@routes.get("/users/{name}/tokens", asks("user.list"))
def list_tokens(space: Space, name: Name) -> Tokens:
    """The API tokens of somebody, or of a service."""
    space.access.require("user.list", of_user(name))
    return {"tokens": [token_document(each) for each in space.authentication.accounts.tokens(name)]}


@routes.post("/users/{name}/tokens", asks("user.change"), status_code=201)
def make_token(space: Space, name: Name, token: NewToken) -> Answer[TokenMade]:
    """Makes an API token for somebody, or for a service."""
    space.access.require("user.change", of_user(name))
    return _made(space, name, token)


@routes.delete("/users/{name}/tokens/{id}", asks("user.change"))
def revoke_token(space: Space, name: Name, id: TokenId) -> TokenDocument:
    """Revokes an API token of somebody, or of a service."""
    space.access.require("user.change", of_user(name))
    return token_document(space.authentication.accounts.revoke_token(id, name))


def _made(space: Space, name: str, token: NewToken) -> Answer[TokenMade]:
    made = space.authentication.accounts.make_token(
        name,
        token.label,
        timedelta(days=token.days),
        roles=token.roles,
        actions=token.actions,
        pipelines=token.pipelines,
    )
    return Answer({"text": made.text, "token": token_document(made.record)}, 201)
