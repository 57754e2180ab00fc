"""Accounts of people and services, and the roles that each has."""

from __future__ import annotations

from typing import Annotated, Literal, cast

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from rowkeeper.caller import CallerKind
from rowkeeper.operations.accounts import (
    add_user,
    give_role,
    list_users,
    set_enabled,
    show_user,
    take_role,
    user_document,
)
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


@routes.get("/users", asks_of_each("user.list"))
def show_users(space: Space, limit: Limit = LIMIT, after: After = None) -> UserList:
    """The accounts, by name."""
    found = [each for each in list_users(space) if after is None or each.name > after]
    shown = [cast("UserDocument", user_document(each)) for each in found[:limit]]
    return {"users": shown, "next": shown[-1]["name"] if len(found) > limit else None}


@routes.post("/users", asks("user.change"), status_code=201)
def make_user(space: Space, user: NewUser) -> Answer[UserDocument]:
    """Makes an account. How it signs in is set up by its own routes."""
    made = add_user(space, user.name, CallerKind(user.kind), frozenset(user.roles))
    return Answer(cast("UserDocument", user_document(made)), 201, {"location": f"/api/v1/users/{made.name}"})


@routes.get("/users/{name}", asks("user.list"))
def show_one_user(space: Space, name: Name) -> UserDocument:
    """One account."""
    return cast("UserDocument", user_document(show_user(space, name)))


@routes.post("/users/{name}/disable", asks("user.change"))
def disable_user(space: Space, name: Name) -> UserDocument:
    """Lets an account do nothing from now on."""
    return cast("UserDocument", user_document(set_enabled(space, name, enabled=False)))


@routes.post("/users/{name}/enable", asks("user.change"))
def enable_user(space: Space, name: Name) -> UserDocument:
    """Lets an account in again."""
    return cast("UserDocument", user_document(set_enabled(space, name, enabled=True)))


@routes.put("/users/{name}/roles/{role}", asks("user.change"))
def give(space: Space, name: Name, role: Role) -> UserDocument:
    """Gives an account a role."""
    return cast("UserDocument", user_document(give_role(space, name, role)))


@routes.delete("/users/{name}/roles/{role}", asks("user.change"))
def take(space: Space, name: Name, role: Role) -> UserDocument:
    """Takes a role from an account."""
    return cast("UserDocument", user_document(take_role(space, name, role)))
