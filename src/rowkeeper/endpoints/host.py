"""Which texts name a host: one spelling for each, and no spelling that two programs read as two hosts.

`2130706433`, `0x7f.1` and `127.1` are loopback to the C library, and names to whoever compares texts; full-width digits
and ideographic dots become ordinary ones in some programs and not in others. They are refused, not translated.
"""

from __future__ import annotations

import ipaddress
import re

from rowkeeper.errors import DeclarationError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

NAME_LENGTH_MAX = 253  # RFC 1035, 2.3.4
# RFC 1123, 2.1; the underscore is in many names that are only used at home.
LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
# Ends in a number: to the C library (inet_aton) and to browsers an address, however it is written.
NUMERIC = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)")


def canonical_host(text: str) -> str:
    """A host as it is compared and looked up: lower case, without the root's dot, an address in its short form.

    Brackets around an IPv6 address are taken away.

    Raises DeclarationError for what is no host, and for what only some programs take for one.
    """
    if not text.isascii():
        raise _unfit(text, "it is not ASCII", _hint_for_international(text))
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if ":" in bare:
        return str(_ipv6(text, bare))
    name = text.lower().removesuffix(".")
    labels = name.split(".")
    if NUMERIC.fullmatch(labels[-1]):
        return str(_ipv4(text, name))
    if len(name) > NAME_LENGTH_MAX or not all(LABEL.fullmatch(label) for label in labels):
        raise _unfit(text, "it is no host name", "letters, digits and '-' between dots, or an address")
    return name


def literal(host: str) -> Address | None:
    """The address that a canonical host is; None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def is_loopback_name(host: str) -> bool:
    """Whether a canonical host is a name of this machine alone (RFC 6761, 6.3)."""
    return host == "localhost" or host.endswith(".localhost")


def _ipv4(text: str, name: str) -> ipaddress.IPv4Address:
    try:
        return ipaddress.IPv4Address(name)  # four decimal numbers, none with a zero before it
    except ValueError:
        raise _unfit(
            text, "it is an address in disguise", "write the four decimal numbers of the address, such as 192.0.2.1"
        ) from None


def _ipv6(text: str, bare: str) -> ipaddress.IPv6Address:
    if "%" in bare:
        raise _unfit(text, "it has a scope", "a declaration cannot name an interface: declare its network, fe80::/10")
    try:
        return ipaddress.IPv6Address(bare)
    except ValueError:
        raise _unfit(text, "it is no address", "such as 2001:db8::1, in brackets where a port follows") from None


def _unfit(text: str, why: str, hint: str) -> DeclarationError:
    return DeclarationError(f"{text[:NAME_LENGTH_MAX]!r} cannot be a host: {why}", hint=hint)


def _hint_for_international(text: str) -> str:
    try:
        ascii_form = text.encode("idna").decode()
    except UnicodeError:
        return "write the host in ASCII"
    return f"write the name in its ASCII form, if that is what is meant: {ascii_form}"
