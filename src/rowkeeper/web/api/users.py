"""Accounts of people and services, and the roles that each has."""

from __future__ import annotations

from typing import Annotated, Literal, cast

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from rowkeeper.access.administering import Administration
from rowkeeper.caller import CallerKind
from rowkeeper.ledger import User
from rowkeeper.runs.workspace import Workspace
from rowkeeper.web.api.documents import UserDocument
from rowkeeper.web.api.paging import LIMIT, After, Limit
from rowkeeper.web.governed import Answer, Routes, asks, asks_of_each
from rowkeeper.web.house import Space

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,99}$"
routes = Routes("users")
Name = Annotated[str, Path(pattern=NAME, description="The name of an account.")]
Role = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_-]{0,99}$", description="The name of a role.")]


class UserList(TypedDict):
    """Accounts by name."""

    users: list[UserDocument]
    next: str | None


class NewUser(BaseModel):
    """An account to be made."""

    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(pattern=NAME)]
    kind: Literal["user", "service"] = "user"
    roles: Annotated[list[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,99}$")]], Field(max_length=50)] = []


def _document(user: User) -> UserDocument:
    return cast("UserDocument", user.as_dict())


def _administration(space: Workspace) -> Administration:
    return Administration(space.access, space.ledger)


@routes.get("/users", asks_of_each("user.list"))
def show_users(space: Space, limit: Limit = LIMIT, after: After = None) -> UserList:
    """The accounts, by name."""
    found = [each for each in _administration(space).users() if after is None or each.name > after]
    shown = [_document(each) for each in found[:limit]]
    return {"users": shown, "next": shown[-1]["name"] if len(found) > limit else None}


@routes.post("/users", asks("user.change"), status_code=201)
def make_user(space: Space, user: NewUser) -> Answer[UserDocument]:
    """Makes an account. How it signs in is set up by its own routes."""
    made = _administration(space).add_user(user.name, CallerKind(user.kind), frozenset(user.roles))
    return Answer(_document(made), 201, {"location": f"/api/v1/users/{made.name}"})


@routes.get("/users/{name}", asks("user.list"))
def show_one_user(space: Space, name: Name) -> UserDocument:
    """One account."""
    return _document(_administration(space).user(name))


@routes.post("/users/{name}/disable", asks("user.change"))
def disable_user(space: Space, name: Name) -> UserDocument:
    """Lets an account do nothing from now on."""
    return _document(_administration(space).enable_user(name, False))


@routes.post("/users/{name}/enable", asks("user.change"))
def enable_user(space: Space, name: Name) -> UserDocument:
    """Lets an account in again."""
    return _document(_administration(space).enable_user(name, True))


@routes.put("/users/{name}/roles/{role}", asks("user.change"))
def give(space: Space, name: Name, role: Role) -> UserDocument:
    """Gives an account a role."""
    return _document(_administration(space).give_role(name, role))


@routes.delete("/users/{name}/roles/{role}", asks("user.change"))
def take(space: Space, name: Name, role: Role) -> UserDocument:
    """Takes a role from an account."""
    return _document(_administration(space).take_role(name, role))
