"""Secret: a text that cannot be shown by accident."""

from __future__ import annotations

from typing import NoReturn, final

from rowkeeper.logs import secrets

KNOWN_LENGTH_MIN = 4  # a shorter one is met in every other word


@final
class Secret:
    """A secret in memory: not printed, logged, compared, pickled or copied; `reveal()` is the one way to its text.

    What it holds is scrubbed from every log line and message from its making on. No attribute holds the text itself:
    what walks through attributes and slots (debuggers, serialisers, error reporters) comes upon a function.
    """

    __slots__ = ("__weakref__", "_reveal")

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError("a secret is a text")
        secrets.learn(text, length_min=KNOWN_LENGTH_MIN)
        object.__setattr__(self, "_reveal", lambda: text)

    def reveal(self) -> str:
        """The secret itself, for the driver that needs it, at the last moment."""
        text: str = object.__getattribute__(self, "_reveal")()
        return text

    def __repr__(self) -> str:
        return "Secret([secret])"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("secrets are not compared: hmac.compare_digest(a.reveal().encode(), b.reveal().encode())")

    __hash__ = None  # type: ignore[assignment]  # a set or a dict of secrets would compare them

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise TypeError("a secret does not change: make a new one")

    __delattr__ = __setattr__  # type: ignore[assignment]

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled or copied")

    __getstate__ = __copy__ = __reduce__

    def __deepcopy__(self, memo: object) -> NoReturn:  # `dataclasses.asdict` comes here
        raise TypeError("a secret is not pickled or copied")

    def __init_subclass__(cls) -> NoReturn:
        raise TypeError("a secret has no subclasses: one of them might show it")
