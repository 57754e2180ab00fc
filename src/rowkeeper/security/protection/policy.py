"""The policy file: protections by classification, for all pipelines of an installation.

    require_protection = true          # or a list of classifications

    [[protect]]
    classification = "pii"             # and so pii.email, unless an entry of its own says otherwise
    method = "pseudonymise"
    purpose = "people"
    enforce = true                     # a contract may not say otherwise

A field's own protection comes before the policy's; where the policy says `enforce`, another one is refused.
"""

from __future__ import annotations

import dataclasses
import inspect
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from rowkeeper.errors import DeclarationError, PolicyUnusable
from rowkeeper.nearest import did_you_mean, one_of
from rowkeeper.security.protection.encrypt import Encrypt, EncryptJoinable
from rowkeeper.security.protection.generalise import Generalise
from rowkeeper.security.protection.mask import PartialMask
from rowkeeper.security.protection.method import Method
from rowkeeper.security.protection.preserve import FormatPreserving
from rowkeeper.security.protection.pseudonym import Pseudonymise
from rowkeeper.security.protection.redact import Redact

FILE = "rowkeeper.policy.toml"
METHODS: Mapping[str, type[Method]] = {
    each.word: each
    for each in (Redact, PartialMask, Pseudonymise, Encrypt, EncryptJoinable, FormatPreserving, Generalise)
}
OWN = ("classification", "method", "enforce")


def covers(classification: str, label: str) -> bool:
    """Whether a classification is this one, or one above it: `pii` covers `pii.email`, and not `piimento`."""
    return label == classification or label.startswith(classification + ".")


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """What is done with one classification, and all below it."""

    classification: str
    method: Method
    enforce: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """A policy; the empty one asks for nothing.

    Attributes:
        required: classifications whose columns must have a protection; an empty one stands for all.
    """

    entries: tuple[Entry, ...] = ()
    required: tuple[str, ...] = ()
    path: Path | None = None

    def entry_of(self, labels: Sequence[str]) -> Entry | None:
        """The entry that is nearest to a field's classifications: the longest that covers one of them."""
        found = [each for each in self.entries if any(covers(each.classification, label) for label in labels)]
        return max(found, key=lambda each: len(each.classification), default=None)

    def requires(self, labels: Sequence[str]) -> bool:
        """Whether a column of these classifications must have a protection."""
        return any(not each or covers(each, label) for each in self.required for label in labels)

    @classmethod
    def load(cls, path: Path | None) -> Self:
        """Reads a policy file.

        Args:
            path: as it was set; None takes the file of that name in the working folder, if there is one.

        Raises PolicyUnusable.
        """
        if path is None and not Path(FILE).is_file():
            return cls()
        where = path or Path(FILE)
        try:
            document = tomllib.loads(where.read_text(encoding="utf-8"))
        except OSError as error:
            raise PolicyUnusable(
                f"the policy file {where} cannot be read: {error.strerror}",
                hint="put it back, or point ROWKEEPER_POLICY_FILE at it",
            ) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise PolicyUnusable(f"the policy file {where} is no TOML: {error}", hint="correct it") from error
        return cls.of(document, where)

    @classmethod
    def of(cls, document: Mapping[str, Any], where: Path) -> Self:
        """A policy of its parts. Raises PolicyUnusable."""
        unknown = [name for name in document if name not in ("protect", "require_protection")]
        if unknown:
            raise PolicyUnusable(
                f"{where} says {unknown[0]}, which is nothing that a policy says",
                hint=one_of(unknown[0], ("require_protection", "protect")),
            )
        listed = document.get("protect", [])
        if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
            raise PolicyUnusable(f"{where}: protect is no list of tables", hint="write [[protect]] above each entry")
        entries = tuple(_entry(each, f"{where}, entry {number}") for number, each in enumerate(listed, 1))
        names = [each.classification for each in entries]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise PolicyUnusable(f"{where} has two entries for {twice}", hint="leave one of them")
        return cls(entries, _required(document.get("require_protection", False), where), where)


def _required(given: object, where: Path) -> tuple[str, ...]:
    if isinstance(given, bool):
        return ("",) if given else ()
    if isinstance(given, list) and all(isinstance(each, str) and each for each in given):
        return tuple(given)
    raise PolicyUnusable(
        f"{where}: require_protection is neither true, false nor a list of classifications",
        hint='such as require_protection = ["pii", "secret"]',
    )


def _entry(given: Mapping[str, Any], where: str) -> Entry:
    classification, word, enforce = given.get("classification"), given.get("method"), given.get("enforce", False)
    if not isinstance(classification, str) or not classification:
        raise PolicyUnusable(f"{where} names no classification", hint='such as classification = "pii"')
    if not isinstance(word, str) or word not in METHODS:
        raise PolicyUnusable(f"{where}: {word!r} is no method", hint=one_of(str(word), METHODS))
    if not isinstance(enforce, bool):
        raise PolicyUnusable(f"{where}: enforce is neither true nor false", hint="enforce = true")
    kind = METHODS[word]
    arguments = {name: value for name, value in given.items() if name not in OWN}
    known = list(inspect.signature(kind).parameters)
    unknown = next((name for name in arguments if name not in known), None)
    if unknown is not None:
        takes = f"it takes {', '.join(known)}" if known else "it takes nothing more"
        raise PolicyUnusable(f"{where}: {word} takes no {unknown}", hint=did_you_mean(unknown, known, takes))
    try:
        return Entry(classification, kind(**arguments), enforce)
    except DeclarationError as error:
        raise PolicyUnusable(f"{where}: {error.what}", hint=error.hint) from error
