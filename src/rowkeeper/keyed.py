"""Values that are looked up a million times a second: by a text each, which is made once, and hashed once."""

from __future__ import annotations


class Keyed:
    """A base of frozen dataclasses.

    Attributes:
        key: of two values that differ it differs too. It is no field: neither compared, copied nor shown.
    """

    __slots__ = ("key",)
    key: str

    def __getattr__(self, name: str) -> str:
        """Asked for what is not there: for the key, the first time."""
        if name != "key":
            raise AttributeError(f"{type(self).__name__} has no {name}")
        object.__setattr__(self, "key", repr(self))
        return self.key
