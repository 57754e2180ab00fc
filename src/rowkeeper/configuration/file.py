"""`rowkeeper.toml`: settings for every profile at its top, and those of one profile in a table of its own.

    batch_rows = 65536                 # for all

    [profile.prod]                     # with ROWKEEPER_PROFILE=prod, or rowkeeper --profile prod
    home = "/var/lib/rowkeeper"

What a profile sets comes before what is set for all. A profile that nobody chose is looked at as well: a wrong name in
it is told today, and not on the night on which somebody chooses it.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from rowkeeper.configuration.literal import HOW_TO_SPLIT, refuse_url
from rowkeeper.configuration.reference import parse
from rowkeeper.errors import SettingsError
from rowkeeper.nearest import did_you_mean

PROFILES = "profile"
FILE = Path("rowkeeper.toml")
Keys = tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class SettingsFile:
    """A file of settings that was read.

    Attributes:
        path: as it was named.
        text: empty where there is no file.
        shared: what is set for every profile.
        profiles: what each profile sets.
    """

    path: Path
    text: str
    shared: Mapping[str, Any]
    profiles: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, path: Path = FILE) -> SettingsFile:
        """Reads it; an empty one where there is none. Raises SettingsError if it cannot be read."""
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return cls(path, "", {}, {})
        except OSError as error:
            raise SettingsError(f"{path} cannot be read: {error.strerror}", hint=f"chmod u+r {path}") from error
        except UnicodeDecodeError as error:
            raise SettingsError(f"{path} is no UTF-8 text", hint="store it as UTF-8, as TOML asks") from error
        try:
            content = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise SettingsError(  # its words name the place, and quote no value
                f"{path} is no TOML: {error}", hint='text stands in quotes: name = "text"'
            ) from error
        profiles = content.pop(PROFILES, {})
        if not isinstance(profiles, dict) or not all(isinstance(each, dict) for each in profiles.values()):
            raise SettingsError(
                f"{path}: {PROFILES} holds profiles, each a table of its own",
                hint=f"[{PROFILES}.prod] begins one; ROWKEEPER_PROFILE=prod, or rowkeeper --profile prod, chooses it",
            )
        return cls(path, text, content, profiles)

    def of_profile(self, profile: str | None) -> Mapping[str, Any]:
        """What a profile sets; of no profile nothing. Raises SettingsError if there is no such profile."""
        if profile is None:
            return {}
        if profile not in self.profiles:
            there = f"there are {', '.join(self.profiles)}" if self.profiles else f"{self.path} has no profiles"
            raise SettingsError(
                f"there is no profile {profile} in {self.path}",
                hint=did_you_mean(profile, self.profiles, f"{there}; [{PROFILES}.{profile}] begins it"),
            )
        return self.profiles[profile]

    def refuse_unknown(self, known: Collection[str]) -> None:
        """Raises SettingsError for the first name that is no setting, in any profile."""
        for keys, _ in self._set():
            if keys[-1] not in known:
                raise SettingsError(
                    f"{self.place(keys)}: there is no setting {keys[-1]}",
                    hint=did_you_mean(keys[-1], [*known, PROFILES], "rowkeeper config show lists all settings"),
                )

    def refuse_literals(self, references: Collection[str]) -> None:
        """Raises SecretLiteral for the first secret in the file, in any profile.

        Args:
            references: the settings that are references to secrets.
        """
        for keys, value in self._set():
            if isinstance(value, str):
                where = f"{self.place(keys)}: {keys[-1]}"
                refuse_url(value, where, HOW_TO_SPLIT if keys[-1] == "ledger_url" else "")
                if keys[-1] in references:
                    parse(value, where)

    def _set(self) -> Iterator[tuple[Keys, Any]]:
        """All that is set, with its place: for all, then by profile."""
        for name, value in self.shared.items():
            yield (name,), value
        for profile, table in self.profiles.items():
            for name, value in table.items():
                yield (PROFILES, profile, name), value

    def place(self, keys: Keys) -> str:
        """Where something is set, as `rowkeeper.toml:12`."""
        line = line_of(self.text, keys)
        return str(self.path) if line is None else f"{self.path}:{line}"


def line_of(text: str, keys: Keys) -> int | None:
    """The line on which something is set in a TOML text, counted from 1; None if it is not set.

    The parser tells no lines. What the first lines alone say, it tells: the text is read line by line until what was
    asked for is in it. A value of several lines is no TOML before its last one: it begins after the last line that was.
    """
    lines = text.split("\n")
    begins = 1
    for number in range(1, len(lines) + 1):
        try:
            content: Any = tomllib.loads("\n".join(lines[:number]))
        except tomllib.TOMLDecodeError:
            continue
        for key in keys:
            content = content.get(key) if isinstance(content, dict) else None
        if content is not None:
            return begins
        begins = number + 1
    return None
