"""What is certainly a secret, whatever the language: the formats that vendors mark, private keys, passwords in URLs.

A line that ends in the comment `pragma: allowlist secret` is let through, as by detect-secrets; so is one after a line
that is nothing but `pragma: allowlist nextline secret`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rowkeeper.configuration.literal import is_placeholder, password_in
from rowkeeper.security.apitoken import holds_token

ALLOWED = re.compile(r"(#|//|--|<!--|/\*)[ \t]*pragma: ?(allow|white)list[ -]secret")
ALLOWED_NEXT = re.compile(r"^[ \t]*(#|//|--|<!--|/\*)[ \t]*pragma: ?(allow|white)list[ -]nextline[ -]secret")
URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^\s'\"`<>]+")
WORD_OF_A_DSN = re.compile(r"(?:^|[\s;])(password|pwd|passwd)=([^\s;'\"]+)", re.IGNORECASE)  # of libpq, of ODBC
OTHER_WORDS_OF_A_DSN = re.compile(
    r"(?:^|[\s;])(host|hostaddr|server|driver|dsn|dbname|database|user|uid)=", re.IGNORECASE
)
FORMATS = {
    "a private key": r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----",
    "a private key of age": r"AGE-SECRET-KEY-1[0-9A-Z]{58}",
    "an access key of AWS": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a token of GitHub": r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{82})\b",
    "a token of GitLab": r"\bgl(?:pat|dt|ft|soat|rt|ptt|agent)-[A-Za-z0-9_\-]{20,}",
    "a token of Slack": r"\bxox[abporse]-(?:\d+-)*[A-Za-z0-9-]{10,}",
    "a key of Stripe": r"\b[rs]k_live_[0-9A-Za-z]{24,}",
    "a key of Google": r"\bAIza[0-9A-Za-z_\-]{35}\b",
    "a token of Vault": r"\b(?:hvs|hvb|hvr)\.[A-Za-z0-9_\-]{24,}",
    "a token of PyPI": r"\bpypi-AgE[A-Za-z0-9_\-]{50,}",
    "a token of npm": r"\bnpm_[A-Za-z0-9]{36}\b",
    "a key of SendGrid": r"\bSG\.[A-Za-z0-9_\-]{22}\.[A-Za-z0-9_\-]{43}\b",
}
ANY_FORMAT = re.compile("|".join(FORMATS.values()))


def secret_in(text: str) -> str | None:
    """What kind of secret is certainly in a text; None if there is none."""
    if ANY_FORMAT.search(text):
        return next(kind for kind, shape in FORMATS.items() if re.search(shape, text))
    if holds_token(text):
        return "an API token of Rowkeeper"
    if any(password_in(url) is not None for url in URL.findall(text)):
        return "a password in a URL"
    word = WORD_OF_A_DSN.search(text)
    if word and OTHER_WORDS_OF_A_DSN.search(text) and not is_placeholder(word[2]):
        return "a password in a connection string"
    return None


def lines_with_secrets(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The numbers of the lines of a text that hold secrets, counted from 1, and of what kind."""
    for number, line in enumerate(lines, 1):
        if (kind := secret_in(line)) is not None and not is_allowed(lines, number, number):
            yield number, kind


def is_allowed(lines: Sequence[str], first: int, last: int) -> bool:
    """Whether a comment lets these lines through, counted from 1."""
    before = lines[first - 2] if first >= 2 else ""
    return bool(ALLOWED_NEXT.search(before)) or any(ALLOWED.search(line) for line in lines[first - 1 : last])
