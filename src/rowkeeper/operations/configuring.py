"""Settings, read for a command: one clear error for a wrong one, and where each value came from."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError as PydanticValidationError

from rowkeeper.access import of_installation
from rowkeeper.configuration.file import PROFILES, SettingsFile
from rowkeeper.errors import SecretLiteral, SettingsError
from rowkeeper.logs.secrets import scrubbed
from rowkeeper.nearest import nearest
from rowkeeper.runs.workspace import Workspace
from rowkeeper.settings import PREFIX, Settings

TYPING_SLIP = 0.8  # so near that nothing else can be meant


@dataclasses.dataclass(frozen=True, slots=True)
class Origin:
    """Where a setting's value came from.

    Attributes:
        kind: `environment`, `profile`, `file` or `default`.
        place: the variable; or the file with its line; empty of a default.
    """

    kind: str
    place: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.place}".rstrip()


@dataclasses.dataclass(frozen=True, slots=True)
class Configured:
    """One setting as it is: its value as JSON has it, and where that came from."""

    name: str
    value: object
    origin: Origin

    def as_dict(self) -> dict[str, object]:
        """The JSON document."""
        return {
            "name": self.name,
            "variable": PREFIX + self.name.upper(),
            "value": self.value,
            "from": self.origin.kind,
            "place": self.origin.place or None,
        }


def read_settings() -> Settings:
    """Settings from the environment and `rowkeeper.toml`.

    Raises SettingsError or SecretLiteral with the place of what is wrong, without its value.
    """
    _refuse_slips()
    try:
        return Settings()
    except SecretLiteral as error:
        name = str(error.context.get("setting", ""))
        place = _place_of(name)
        raise SecretLiteral(f"{place}: {error.what}" if place else error.what, hint=error.hint) from None
    except PydanticValidationError as error:
        faults = [_told(each["loc"], each["msg"]) for each in error.errors(include_input=False, include_url=False)]
        raise SettingsError(
            f"a setting is wrong: {scrubbed('; '.join(faults))}",
            hint="rowkeeper config show lists all settings; docs/reference.md says what each takes",
        ) from error


def configured(settings: Settings) -> Iterator[Configured]:
    """Every setting, its value, and where that came from. Secrets are references, and stay so."""
    values: dict[str, Any] = settings.model_dump(mode="json")
    for name, origin in _origins(settings.profile).items():
        yield Configured(name, values[name], origin)


def show_settings(workspace: Workspace) -> list[Configured]:
    """The same for who is not at this machine, and so cannot read its files. Raises AccessDenied."""
    workspace.access.require("settings.show", of_installation())
    return list(configured(workspace.settings))


def _origins(profile: str | None) -> dict[str, Origin]:
    """In the order in which the sources are asked: see `Settings.settings_customise_sources`."""
    variables = {name.upper(): name for name in os.environ}
    file = SettingsFile.read()
    of_profile = file.profiles.get(profile or "", {})
    found = {}
    for name in Settings.model_fields:
        if (variable := PREFIX + name.upper()) in variables:
            found[name] = Origin("environment", variables[variable])
        elif profile is not None and name in of_profile:
            found[name] = Origin("profile", file.place((PROFILES, profile, name)))
        elif name in file.shared:
            found[name] = Origin("file", file.place((name,)))
        else:
            found[name] = Origin("default")
    return found


def _told(keys: tuple[int | str, ...], what: str) -> str:
    """What Pydantic says of a setting, with its place; what is said of several at once has none."""
    what = what.removeprefix("Value error, ")
    if not keys:
        return what
    name = ".".join(map(str, keys))
    place = _place_of(str(keys[0]))
    return f"{name} ({place}): {what}" if place else f"{name}: {what}"


def _place_of(name: str) -> str:
    """Where a setting that is wrong was set; empty if that is not known."""
    origin = _origins(os.environ.get(PREFIX + "PROFILE")).get(name)
    return "" if origin is None else origin.place


def _refuse_slips() -> None:
    """A variable that is near a setting was meant to be it. One that is near none may be a secret of the user's own."""
    for name in os.environ:
        word = name.removeprefix(PREFIX).lower()
        if not name.startswith(PREFIX) or word in Settings.model_fields:
            continue
        if near := nearest(word, Settings.model_fields, cutoff=TYPING_SLIP):
            raise SettingsError(f"there is no setting {name}", hint=f"did you mean {PREFIX}{near.upper()}?")
