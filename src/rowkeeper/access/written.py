"""Policies that were written by hand: found, read, and each fault told with its file and line."""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from rowkeeper.access.builtin import built_in_policies
from rowkeeper.access.cedar import PolicyFault, parse, validate
from rowkeeper.access.policy import Policy, named
from rowkeeper.access.policytext import PolicyText, policies_in
from rowkeeper.errors import AccessPolicyInvalid

WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
GRANT = "grant "


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """Something that is wrong with what was written.

    Attributes:
        place: file and line, or the file alone.
    """

    place: str
    told: str
    mend: str = ""


def written_files(path: Path | None) -> tuple[Path, ...]:
    """The files of policies: the one, or all `*.cedar` of the folder and those below it. Raises AccessPolicyInvalid."""
    if path is None:
        return ()
    path = path.expanduser()
    if not path.exists():
        raise AccessPolicyInvalid(
            f"the policies {path} are not there", hint="ROWKEEPER_ACCESS_POLICIES is a .cedar file, or a folder of them"
        )
    return tuple(sorted(path.rglob("*.cedar"))) if path.is_dir() else (path,)


def state_of(path: Path | None) -> tuple[tuple[str, int, int, int], ...]:
    """What tells that the files are those that were read. Raises AccessPolicyInvalid."""
    states = []
    for file in written_files(path):
        try:
            seen = file.stat()
        except OSError as error:
            raise AccessPolicyInvalid(
                f"{file} cannot be read: {error.strerror}", hint="see to its permissions"
            ) from error
        states.append((str(file), seen.st_ino, seen.st_size, seen.st_mtime_ns))
    return tuple(states)


def written_policies(path: Path | None) -> tuple[Policy, ...]:
    """All of them. Raises AccessPolicyInvalid if there is any fault."""
    found, faults = checked(path)
    if faults:
        first, more = faults[0], len(faults) - 1
        also = f" (and {more} more: rowkeeper access check)" if more else ""
        raise AccessPolicyInvalid(
            f"{first.place}: {first.told}{also}", hint=first.mend or "rowkeeper access check tells when it is mended"
        )
    return tuple(found)


def checked(path: Path | None) -> tuple[Sequence[Policy], Sequence[Fault]]:
    """What was written, and what is wrong with it. Raises AccessPolicyInvalid if there is nothing at the path."""
    found: dict[str, Policy] = {}
    faults: list[Fault] = []
    taken = {each.id: each.place for each in built_in_policies()}
    for file in written_files(path):
        for each in _texts(file):
            policy = each if isinstance(each, Fault) else _policy(each)
            if isinstance(policy, Fault):
                faults.append(policy)
            elif policy.id in taken:
                told = f'@id("{policy.id}") is the name of the policy at {taken[policy.id]}'
                faults.append(Fault(policy.place, told, "give it a name of its own"))
            elif policy.id.startswith(GRANT):
                faults.append(Fault(policy.place, f'@id("{policy.id}") is how grants are named', "choose another name"))
            else:
                taken[policy.id] = policy.place
                found[policy.id] = policy
    return list(found.values()), faults


def _texts(file: Path) -> Iterator[PolicyText | Fault]:
    if others := _who_else_writes(file):
        yield Fault(str(file), f"{others} can be changed by others", f"chmod go-w {others}")
        return
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        yield Fault(str(file), f"it cannot be read: {error.strerror}", "see to its permissions")
    except UnicodeDecodeError:
        yield Fault(str(file), "it is no text in UTF-8", "write it anew")
    else:
        yield from policies_in(text, str(file))


def _policy(written: PolicyText) -> Policy | Fault:
    try:
        policy = named(written, parse(written.text))
        validate(written.text)
    except PolicyFault as fault:
        return Fault(written.place, str(fault))
    return policy


def _who_else_writes(file: Path) -> Path | None:
    """The file, or the folder it lies in, if its mode lets others write it: then they decide who may do what."""
    return next((each for each in (file, file.parent) if os.stat(each).st_mode & WRITABLE_BY_OTHERS), None)
