"""References to secrets: where a secret is, in the place of the secret itself.

    env:NAME                an environment variable
    file:PATH               a file that only its owner can read
    keyring:SERVICE/NAME    the keyring of the user's session
    vault:PATH#KEY          OpenBao or Vault
    SCHEME:...              whatever an entry point of the group `rowkeeper.secrets` brings

Here they are told from literals, by their form alone; `rowkeeper.security.references` follows them.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from importlib.metadata import entry_points
from typing import NoReturn

from rowkeeper.errors import SecretLiteral
from rowkeeper.nearest import nearest

GROUP = "rowkeeper.secrets"
HOW_TO_MOVE = (
    "move it to where only its reader can see it, and put a reference here: "
    "env:NAME, file:PATH, keyring:SERVICE/NAME or vault:PATH#KEY"
)
SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):(.*)", re.DOTALL)
FORMS = {
    "env": ("env:NAME", re.compile(r"[A-Za-z_][A-Za-z0-9_]*")),
    "file": ("file:PATH", re.compile(r"[^\0\n]+")),
    "keyring": ("keyring:SERVICE/NAME", re.compile(r"[^\0\n/]+/[^\0\n]+")),
    "vault": ("vault:PATH#KEY", re.compile(r"[^\s#/?][^\s#?]*#[^\s#]+")),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Reference:
    """A reference, taken apart.

    Attributes:
        scheme: what follows it, such as `env`.
        place: where the secret is, in the words of the scheme.
    """

    scheme: str
    place: str

    def __str__(self) -> str:
        return f"{self.scheme}:{self.place}"


def parse(text: str, where: str = "a reference to a secret") -> Reference:
    """Takes a reference apart.

    Args:
        where: what it stands in, for the message, such as `ledger_password`.

    Raises SecretLiteral, without the text: what is no reference may be the secret itself.
    """
    match = SCHEME.fullmatch(text)
    if match is None:
        _refuse(where, "a literal secret stands where a reference to one belongs", HOW_TO_MOVE)
    scheme, place = match[1], match[2]
    if scheme in FORMS:
        form, shape = FORMS[scheme]
        if not shape.fullmatch(place):
            _refuse(where, f"what stands there begins with {scheme}: and is no reference", f"it is written {form}")
    elif scheme not in others():
        near = nearest(scheme, (*FORMS, *others()))
        hint = f"did you mean {near}:? Otherwise {HOW_TO_MOVE}" if near else HOW_TO_MOVE
        _refuse(where, "a literal secret, or a reference of an unknown scheme, stands there", hint)
    return Reference(scheme, place)


def is_reference(text: str) -> bool:
    """Whether a text has the form of a reference."""
    try:
        parse(text)
    except SecretLiteral:
        return False
    return True


@functools.cache
def others() -> frozenset[str]:
    """The schemes that installed packages bring."""
    return frozenset(each.name for each in entry_points(group=GROUP))


def _refuse(where: str, what: str, hint: str) -> NoReturn:
    raise SecretLiteral(f"{where}: {what}", hint=hint, context={"setting": where})
