"""The commands by name, each imported when it is needed: what all of them import takes longer than most of them run."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import click

from rowkeeper.cli.starting import ended_quietly


class Topics(MutableMapping[str, click.Command]):
    """What click takes for a dictionary of commands.

    Args:
        places: by name of a command, the module below `rowkeeper.cli.commands` in which it is a variable of that name,
            and its sentence in the list of commands. The sentence is that of its docstring, as a test pins.
    """

    def __init__(self, places: Mapping[str, tuple[str, str]]) -> None:
        self._places = places
        self._there: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._there:
            topic, _ = self._places[name]
            found: click.Command = getattr(importlib.import_module(f"rowkeeper.cli.commands.{topic}"), name)
            self._there[name] = found
        return self._there[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._there[name] = command

    def __delitem__(self, name: str) -> None:
        del self._there[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self._places, *self._there}))

    def __len__(self) -> int:
        return len({*self._places, *self._there})

    def __contains__(self, name: object) -> bool:
        return name in self._places or name in self._there

    def sentence(self, name: str) -> str:
        """What the command does, without importing it."""
        return self._places[name][1] if name in self._places else self[name].get_short_help_str(limit=1000)

    def fetch(self, words: list[str]) -> None:
        """Imports the commands that the words of a command line name. A Ctrl-C in this time ends the process quietly:
        raised in the middle of an import, it would be a traceback, or be taken for a library that is broken.
        """
        with ended_quietly():
            for word in words:
                if word in self:
                    self[word]


class Listing(click.Group):
    """A group of such commands: its list of them imports none."""

    def __init__(self, name: str, places: Mapping[str, tuple[str, str]], **attrs: Any) -> None:
        self.topics = Topics(places)
        super().__init__(name, commands=self.topics, **attrs)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As click lists them: name and sentence, the sentence on one line."""
        width = max(len(name) for name in self.topics)
        limit = formatter.width - 6 - width
        with formatter.section("Commands"):
            formatter.write_dl([(name, _shortened(self.topics.sentence(name), limit)) for name in self.topics])


def _shortened(sentence: str, limit: int) -> str:
    """As many whole words as there is room for, as click does it."""
    return click.Command(None, help=sentence).get_short_help_str(limit)
