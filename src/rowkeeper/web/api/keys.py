"""Keys: which there are; rotated and revoked. A key itself is never shown."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from rowkeeper.operations.keys import list_keys, revoke, rotate
from rowkeeper.web.api.documents import KeyDocument
from rowkeeper.web.governed import Routes, asks, asks_of_each
from rowkeeper.web.house import Space

routes = Routes("keys")
Purpose = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_.-]{0,63}$", description="What a keyset is for.")]
KeyId = Annotated[str, Path(pattern=r"^[0-9a-f]{8}$", description="The id of a key.")]


class KeyList(TypedDict):
    """Keys in the order of their making; `wrapped_with`: a reference to the key that wraps them."""

    wrapped_with: str | None
    keys: list[KeyDocument]


class Revocation(BaseModel):
    """Why a key is destroyed, and whether although something is sealed with it, which is lost then."""

    model_config = ConfigDict(extra="forbid")
    reason: Annotated[str, Field(min_length=1, max_length=1_000, pattern=r"\S")]
    force: bool = False


@routes.get("/keys", asks_of_each("key.list"))
def show_keys(space: Space) -> KeyList:
    """Every key: what it is for, whether it writes or only reads, and how many files are sealed with it."""
    return cast("KeyList", list_keys(space).as_dict())


@routes.post("/keys/{purpose}/rotate", asks("key.change"))
def rotate_key(space: Space, purpose: Purpose) -> KeyDocument:
    """Gives a keyset a new key to write with. What was written before stays readable."""
    [rotated] = rotate(space, [purpose])
    return cast("KeyDocument", rotated.as_dict())


@routes.post("/keys/{id}/revoke", asks("key.change"))
def revoke_key(space: Space, id: KeyId, revocation: Revocation) -> KeyDocument:
    """Destroys a key that nothing is sealed with any more."""
    return cast("KeyDocument", revoke(space, id, force=revocation.force, reason=revocation.reason).as_dict())
