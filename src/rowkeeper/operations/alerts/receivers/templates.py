"""URLs of routes: secrets stand in them as references in braces, `https://ops.example.com/hook/{env:HOOK_TOKEN}`."""

from __future__ import annotations

import re
from urllib.parse import quote

from rowkeeper.configuration.literal import refuse_url
from rowkeeper.configuration.reference import HOW_TO_MOVE, parse
from rowkeeper.errors import SecretLiteral
from rowkeeper.security.references import resolve

BRACES = re.compile(r"\{([^{}]*)\}")
HOW = "write it as a reference in braces: {env:NAME}, {file:PATH}, {keyring:SERVICE/NAME} or {vault:PATH#KEY}"


def check(text: str, where: str) -> None:
    """Raises SecretLiteral for a password in the URL, or for braces that hold no reference."""
    for inner in BRACES.findall(text):
        parse(inner, where)
    refuse_url(plain(text), where, hint=f"take it out of the URL, and {HOW}")


def plain(text: str) -> str:
    """The URL with `{reference}` for each reference, whose own signs are none of the URL's."""
    return BRACES.sub("{reference}", text)


def filled(text: str) -> str:
    """The URL with the secrets in their places, each quoted as a part of a URL. Raises SecretUnavailable."""
    return BRACES.sub(lambda found: quote(resolve(found[1]).reveal(), safe=""), text)


def refuse_literal_parts(parts: list[str], where: str) -> None:
    """Raises SecretLiteral if what is a secret of its service is written out."""
    if any(part and not BRACES.fullmatch(part) for part in parts):
        raise SecretLiteral(
            f"{where}: what stands in the URL is the service's secret",
            hint=f"{HOW}; or {HOW_TO_MOVE}",
            context={"setting": where},
        )


def text_filled(text: str) -> str:
    """A header's value with the secrets in their places. Raises SecretUnavailable."""
    return BRACES.sub(lambda found: resolve(found[1]).reveal(), text)
