"""What is certainly a secret, or stands where one would: a password in a URL, a value under a name such as `password`.

These are the rules of the moment at which a value is used; texts are scanned with more of them
(`rowkeeper.security.scanning`).
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from rowkeeper.configuration.reference import HOW_TO_MOVE, is_reference
from rowkeeper.errors import SecretLiteral

HOW_TO_SPLIT = (
    "take the password out of the URL, change it if others could read it there, and set "
    'ROWKEEPER_LEDGER_PASSWORD=env:NAME (in rowkeeper.toml: ledger_password = "env:NAME")'
)
USER_PART = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#\s:]*:([^/?#\s]*)@")  # greedy: a password may hold an @
# Many drivers, SQLAlchemy among them, take a password with a / in it as well. A port is none: http://h:80/@scope.
USER_PART_OF_DRIVERS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#\s:@]*:(?!\d{1,5}[/?#])([^@\s]*)@")
QUERY_PART = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^?#\s]*\?([^#\s]*)")
NAME = re.compile(
    r"(^|[_.-])(password|passwd|passphrase|pw|pwd|pass|secret|token|credentials?|api_?key|access_?key|secret_?key|"
    r"private_?key|client_?secret|account_?key|sas_?token|signature|sig|authorization)$",
    re.IGNORECASE,
)

# Arguments that say something of columns by their names, which may be `token` or `password` like any other.
ABOUT_COLUMNS = frozenset({"codecs", "columns", "dtypes", "rename", "schema", "types"})


def password_in(url: str) -> str | None:
    """The password of a URL, from before its host or from its parameters; None if it has none, or a reference."""
    found = USER_PART.search(url) or USER_PART_OF_DRIVERS.search(url)
    if found and found[1] and not is_placeholder(found[1]):
        return str(found[1])
    parameters = QUERY_PART.search(url)
    named = [value for name, value in parse_qsl(parameters[1]) if is_named_like_a_secret(name)] if parameters else []
    return next((value for value in named if not is_placeholder(value)), None)


def is_named_like_a_secret(name: str) -> bool:
    """Whether a name says that its value is a secret: `password`, `db_token`, `apiKey`."""
    return NAME.search(re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)) is not None


def refuse_url(text: str, where: str, hint: str = "") -> None:
    """Raises SecretLiteral if a text is a URL with a password in it, without telling it."""
    if "://" in text and password_in(text) is not None:
        raise SecretLiteral(
            f"{where}: a password stands in the URL",
            hint=hint or f"take it out of the URL, and {HOW_TO_MOVE}",
            context={"setting": where},
        )


def is_placeholder(text: str) -> bool:
    """`***`, `{password}`, `$PASSWORD`, a reference: no secret, though they stand where one would."""
    return (
        is_reference(text) or re.fullmatch(r"\*+|x{3,}|\{[^{}]*\}|<[^<>]*>|\$\{?\w+\}?|%\(\w+\)s|%s", text) is not None
    )
