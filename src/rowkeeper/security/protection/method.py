"""What a protection is: a method that turns a column's values into others, before anything is written."""

from __future__ import annotations

import abc
import dataclasses
import re
from typing import Any, ClassVar

import pyarrow as pa

from rowkeeper.errors import DeclarationError
from rowkeeper.security.keysets import Key, Keyset, Keysets
from rowkeeper.security.protection.values import Values

PURPOSE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclasses.dataclass(frozen=True, slots=True)
class Use:
    """A method at work on one column.

    Attributes:
        field: the column as the contract has it, of clear values.
        purpose: what the key is for; empty where there is none.
        keys: of the method and purpose; None where there is none.
        key: the id of the key that a method writes with that joins; None for the others.
    """

    field: pa.Field[Any]
    purpose: str
    keys: Keyset | None
    key: int | None = None

    @property
    def keyset(self) -> Keyset:
        """The keys. For methods with a key only."""
        assert self.keys is not None, "a method without a key asked for one"
        return self.keys

    @property
    def lasting_key(self) -> Key:
        """The key of a method that joins."""
        assert self.key is not None, "a method that does not join asked for a lasting key"
        return self.keyset.key(self.key)


class Method(abc.ABC):
    """A protection, as it stands in a contract: `Annotated[str, rk.Classified("pii.email"), rk.Pseudonymise()]`.

    Attributes:
        word: what it is called in policy files and in the ledger.
        keyed: it needs a key, of a purpose.
        reversible: `rowkeeper reveal` turns it back.
        joins: equal values become equal ones and different values different ones, so rows can be identified by it.
        ordered: what was less is not more afterwards.
        repeats: equal values may be protected once for all of them, which is worth finding them.
    """

    word: ClassVar[str]
    keyed: ClassVar[bool] = False
    reversible: ClassVar[bool] = False
    joins: ClassVar[bool] = False
    ordered: ClassVar[bool] = False
    repeats: ClassVar[bool] = False

    @property
    def own_purpose(self) -> str | None:
        """What the declaration names as the key's purpose."""
        return getattr(self, "purpose", None)

    def document(self) -> dict[str, Any]:
        """The method and its arguments as JSON values: equal for equal methods."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]  # every method is a dataclass
        given = {each.name: getattr(self, each.name) for each in fields if each.name != "purpose"}
        return {"method": self.word, **{name: value for name, value in given.items() if value is not None}}

    @abc.abstractmethod
    def refusal(self, field: pa.Field[Any]) -> str:
        """Why it cannot protect a column; empty if it can."""

    @abc.abstractmethod
    def stored(self, field: pa.Field[Any]) -> pa.Field[Any]:
        """The column that the destination gets."""

    @abc.abstractmethod
    def protect(self, values: Values, use: Use) -> Values:
        """The values in their protected form, in their order; no null among them, and none that is unfit."""

    def unfit(self, values: Values) -> list[int]:
        """The positions of values that it cannot take; no null among the values."""
        del values
        return []

    def reveal(self, stored: Values, use: Use) -> Values:
        """The inverse of `protect`. Raises RevealFailed for what is no such form."""
        raise NotImplementedError(f"{self.word} is not reversible")

    def masked(self, text: str) -> str | None:
        """A raw value as it may be shown to everybody; None if nothing of it may."""
        del text
        return None


def as_text(field: pa.Field[Any]) -> pa.Field[Any]:
    """A text column in the place of another."""
    return pa.field(field.name, pa.string(), nullable=field.nullable)


def checked_purpose(method: str, purpose: str | None) -> None:
    """Raises DeclarationError for a purpose that cannot name a key."""
    if purpose is not None and (not isinstance(purpose, str) or not PURPOSE.fullmatch(purpose)):
        raise DeclarationError(
            f"{method}: purpose={purpose!r} is no purpose",
            hint="up to 64 letters, digits, '_', '.' and '-', such as purpose=\"billing\"",
        )


def use_of(method: Method, field: pa.Field[Any], purpose: str, keysets: Keysets, key: int | None = None) -> Use:
    """A method at work on a column.

    A method that joins writes with the oldest key there is, also after a rotation: with another one equal values would
    no longer be equal.

    Args:
        key: the id of the key with which values were written that are to be revealed.
    """
    if not method.keyed:
        return Use(field, "", None)
    keys = keysets.of(f"{method.word}.{purpose}")
    if method.joins and key is None:
        key = keys.keys[0].id
    return Use(field, purpose, keys, key)
