"""Secret: a text that cannot be shown by accident."""

from __future__ import annotations

from typing import NoReturn, final

from rowkeeper.logs import secrets


@final
class Secret:
    """A secret in memory: not printed, logged, compared, pickled or copied; `reveal()` is the one way to its text.

    What it holds is scrubbed from every log line and message from its making on.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text
        secrets.learn(text)

    def reveal(self) -> str:
        """The secret itself, for the driver that needs it, at the last moment."""
        return self._text

    def __repr__(self) -> str:
        return "Secret([secret])"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("secrets are not compared: hmac.compare_digest(a.reveal().encode(), b.reveal().encode())")

    __hash__ = None  # type: ignore[assignment]  # a set or a dict of secrets would compare them

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled or copied")
