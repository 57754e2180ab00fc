"""Secrets that this process knows, taken out of every text that leaves it for people or logs.

A second belt: messages are put together without secrets in the first place. This one is for what others say: a driver
that quotes its URL, a pipeline file that raises with its password.
"""

from __future__ import annotations

import functools
import html
import json
import os
import re
from urllib.parse import quote, unquote

HIDDEN = "[secret]"
LENGTH_MIN = 8  # what is shorter is met by chance
LINE_LENGTH_MIN = 16
NAMED_LIKE_ONE = re.compile(
    r"PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIAL|PRIVATE|API_?KEY|ACCESS_?KEY|_KEY$|_PW$|_PWD$|_PASS$", re.I
)
PATHS_END = re.compile(r"_(FILE|PATH|DIR|URL|ID)$", re.I)
REFERENCE = re.compile(
    r"(env:[A-Za-z_]\w*|file:[^\0\n]+|keyring:[^\0\n/]+/[^\0\n]+|vault:[^\s#]+#[^\s#]+|transit:[^\s:]+)$"
)
USER_OF_A_URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*://)([^/\s?#]*)@")  # greedy: a password may hold an @
# Many drivers take it, SQLAlchemy among them. A port is none: http://h:80/@scope.
PASSWORD_WITH_A_SLASH = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#\s:@]*:(?!\d{1,5}[/?#])([^@\s]+)@")
QUERY_OF_A_URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*://[^\s?#]*)\?\S*")

_known: set[str] = set()


def learn(secret: str, *, length_min: int = LENGTH_MIN) -> None:
    """From now on this text is not told to anybody, nor one of its lines if it has several, such as a private key."""
    lines = secret.splitlines()
    if len(lines) > 1:
        for line in lines:
            if not line.startswith("-----"):
                learn(line, length_min=LINE_LENGTH_MIN)
    if len(secret) >= length_min:
        # As it is, and as it looks inside JSON, HTML and a URL.
        _known.update((secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]))
        _known.update((html.escape(secret), quote(secret, safe="")))


def learn_url(url: str) -> None:
    """The password of a URL, as it is written there and as it is meant."""
    usual, slashed = USER_OF_A_URL.search(url), PASSWORD_WITH_A_SLASH.search(url)
    if usual and ":" in usual[2]:
        password = usual[2].split(":", 1)[1]
    elif slashed:
        password = slashed[1]
    else:
        return
    learn(password, length_min=4)
    learn(unquote(password), length_min=4)


def learn_environment() -> None:
    """Variables that are named like secrets, and passwords in those that hold a URL. A reference may be told."""
    for name, value in os.environ.items():
        if NAMED_LIKE_ONE.search(name) and not PATHS_END.search(name) and not REFERENCE.match(value):
            learn(value)
        if "://" in value:
            learn_url(value)


def scrubbed(text: str) -> str:
    """The text without any secret that is known, and without the user and password of any URL."""
    if _known:
        text = _any_of(frozenset(_known)).sub(HIDDEN, text)
    return USER_OF_A_URL.sub(rf"\1{HIDDEN}@", text) if "://" in text else text


@functools.lru_cache(maxsize=1)
def _any_of(secrets: frozenset[str]) -> re.Pattern[str]:
    """Matches each of them, the longest first: one may begin another."""
    return re.compile("|".join(map(re.escape, sorted(secrets, key=len, reverse=True))))


def bare_url(url: str) -> str:
    """A URL without user, password and parameters."""
    return QUERY_OF_A_URL.sub(r"\1", USER_OF_A_URL.sub(r"\1", url))
