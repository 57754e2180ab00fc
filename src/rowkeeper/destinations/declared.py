"""What declarations of destinations share: how they are checked when a person has written them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from rowkeeper.errors import DeclarationError, LayoutError
from rowkeeper.nearest import did_you_mean, one_of
from rowkeeper.protocols import DuplicatePolicy, WriteMode

MODES = ("append", "replace", "merge")
POLICIES = ("skip", "quarantine", "replace")


class Writing(Protocol):
    """How a table is written to."""

    @property
    def write_mode(self) -> WriteMode:
        """What a run does to what is there."""

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that identify a row."""

    @property
    def version(self) -> str | None:
        """With `merge`, the column by which the newer of two rows is told."""

    @property
    def duplicates(self) -> DuplicatePolicy | None:
        """What becomes of a row whose key was there before."""


def names_of(argument: str, value: Sequence[str]) -> tuple[str, ...]:
    """A list of names. Raises DeclarationError for one string."""
    if isinstance(value, str):
        raise DeclarationError(f"{argument} is one string", hint=f'give a list: {argument}=["{value}"]')
    return tuple(value)


def check_writing(made: Writing) -> None:
    """Raises DeclarationError if mode, key, version and policy do not fit together."""
    if made.write_mode not in MODES:
        raise DeclarationError(f"write={made.write_mode!r} is no mode", hint=one_of(made.write_mode, MODES))
    if made.duplicates is not None and made.duplicates not in POLICIES:
        raise DeclarationError(f"duplicates={made.duplicates!r} is no policy", hint=one_of(made.duplicates, POLICIES))
    merges = made.write_mode == "merge"
    if merges and not made.key:
        raise DeclarationError("a merge needs a key", hint='say which columns identify a row: key=["id"]')
    if merges and made.duplicates is not None:
        raise DeclarationError("a merge replaces rows of the same key by itself", hint="leave out duplicates=")
    if made.duplicates is not None and not made.key:
        raise DeclarationError("duplicates are found by their key", hint='say which columns identify a row: key=["id"]')
    if made.key and not merges and made.duplicates is None:
        raise DeclarationError(
            "the key is not used", hint='say what becomes of duplicates: duplicates="skip", "quarantine" or "replace"'
        )
    if made.version is not None and not merges:
        raise DeclarationError("a version column is for merges", hint='write="merge", or leave out version=')


def check_fallback(given: str | None) -> None:
    """Raises DeclarationError for what is no policy."""
    if given not in (None, "spool"):
        raise DeclarationError(f"fallback={given!r} is no policy", hint=one_of(str(given), ("spool",)))


def check_columns(of: str, named: Mapping[str, Sequence[str]], columns: Sequence[str]) -> None:
    """Raises DeclarationError if arguments of a destination name a column that a contract has not.

    Args:
        of: the destination, for people: `the table orders`.
        named: by argument, the columns that it names.
    """
    for argument, name in _each(named):
        if name not in columns:
            raise DeclarationError(
                f"{argument} of {of} names a column {name} that the contract has not",
                hint=did_you_mean(name, columns, f"it has {', '.join(columns)}"),
            )


def check_laid_out(named: Mapping[str, Sequence[str]], columns: Mapping[str, bool]) -> None:
    """Raises LayoutError if a destination names a column that it will not have, or a key that may be null.

    Args:
        named: by argument, the columns that it names.
        columns: by name, whether it may be null.
    """
    for argument, name in _each(named):
        if name not in columns:
            raise LayoutError(
                f"{argument} names the column {name}, which the contract does not have",
                hint="it has " + ", ".join(columns),
            )
        if argument in ("key", "version") and columns[name]:
            raise LayoutError(
                f"the {argument} column {name} may be null, and null identifies nothing",
                hint="make the field required in the contract",
            )


def _each(named: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    """Every column that is named, with the argument that names it."""
    return ((argument, name) for argument, names in named.items() for name in names)
