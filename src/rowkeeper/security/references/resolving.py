"""Following references: each scheme has its reader, and what it reads becomes a Secret at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import entry_points

from rowkeeper.configuration.reference import GROUP, parse
from rowkeeper.errors import FrameworkError, SecretUnavailable, is_fault
from rowkeeper.security.references.places import of_environment, of_file, of_keyring
from rowkeeper.security.secret import Secret

Read = Callable[[str], str]
"""Gives the secret at a place, which is what follows the scheme. Entry points of `rowkeeper.secrets` are of this form.
"""


class Resolver:
    """Follows references.

    Args:
        vault: reads from the vault that is configured; None where none is.
    """

    def __init__(self, *, vault: Read | None = None) -> None:
        self._own: Mapping[str, Read] = {
            "env": of_environment,
            "file": of_file,
            "keyring": of_keyring,
            "vault": vault or _no_vault,
        }

    def resolve(self, reference: str) -> Secret:
        """The secret that a reference leads to, read anew each time.

        Raises:
            SecretLiteral: it is no reference.
            SecretUnavailable: it leads to nothing, or to what may not be used.
        """
        parsed = parse(reference)
        read = self._own.get(parsed.scheme)
        text = read(parsed.place) if read else _read_by_plugin(parsed.scheme, parsed.place)
        if not text:
            raise SecretUnavailable(f"{parsed}: what is there is empty", hint="put the secret there")
        return Secret(text)


def _no_vault(place: str) -> str:
    raise SecretUnavailable(
        f"vault:{place}: no vault is configured",
        hint="set ROWKEEPER_VAULT_ADDRESS, and ROWKEEPER_VAULT_TOKEN or ROWKEEPER_VAULT_ROLE_ID and _SECRET_ID",
    )


def _read_by_plugin(scheme: str, place: str) -> str:
    (found,) = entry_points(group=GROUP, name=scheme)
    try:
        text = found.load()(place)
    except FrameworkError:
        raise
    except BaseException as error:
        if not is_fault(error):
            raise
        raise SecretUnavailable(  # what a package of somebody else raises may quote the secret
            f"{scheme}:{place}: {found.value}, which reads it, raised {type(error).__name__}",
            hint=f"see to the package that brings {scheme}: references",
        ) from None
    if not isinstance(text, str):
        raise SecretUnavailable(
            f"{scheme}:{place}: {found.value} gave no text", hint=f"see to the package that brings {scheme}: references"
        )
    return text


class _InUse:
    """What `resolve` of this process asks."""

    resolver = Resolver()


@contextmanager
def resolving_with(resolver: Resolver) -> Iterator[Resolver]:
    """References in the block are followed by this resolver, whichever thread follows them."""
    before, _InUse.resolver = _InUse.resolver, resolver
    try:
        yield resolver
    finally:
        _InUse.resolver = before


def resolve(reference: str) -> Secret:
    """The secret that a reference leads to. In an open workspace `vault:` is the vault of its settings.

    Raises:
        SecretLiteral: it is no reference.
        SecretUnavailable: it leads to nothing, or to what may not be used.
    """
    return _InUse.resolver.resolve(reference)
