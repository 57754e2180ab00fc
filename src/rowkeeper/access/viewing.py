"""What somebody sees of a table: how each column, and which rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rowkeeper.access.decision import Sight, TableView
from rowkeeper.access.resource import Column, Resource, of_column, of_table
from rowkeeper.access.rules import READING, Rules
from rowkeeper.caller import Caller
from rowkeeper.ledger.grants import ANY, Gives, To


def view_of(rules: Rules, caller: Caller, table: str, columns: Sequence[Column]) -> TableView | None:
    """What this caller sees of a table; None if they may not read it."""
    if not rules.decide(caller, READING, of_table(table)).allowed:
        return None
    sights = {
        column.name: _sight(rules, caller, of_column(table, column.name, column.labels, column.protected))
        for column in columns
    }
    return TableView(table, sights, row_filter_of(rules, caller, table))


def _sight(rules: Rules, caller: Caller, column: Resource) -> Sight:
    if rules.decide(caller, "column.clear", column).allowed:
        return Sight.CLEAR
    return Sight.MASKED if rules.decide(caller, "column.masked", column).allowed else Sight.REFUSED


def row_filter_of(rules: Rules, caller: Caller, table: str) -> str | None:
    """The condition that rows must meet for this caller, who may read the table; None if all may be seen.

    What a role gives is narrowed by the filters of that role alone: whoever has two roles sees what either lets be
    seen. A filter for everybody narrows all of it. Where no role by itself lets the table be read, but several together
    do, the filters of all of them count.
    """
    own = {each.role: each.condition for each in rules.state.row_filters if each.table == table}
    if not own:
        return None
    seen = _Seen(rules, caller, of_table(table), own)
    return _all_of([own.get(ANY), seen.whole()])


class _Seen:
    """Which rows of a table each role of a caller lets be seen."""

    def __init__(self, rules: Rules, caller: Caller, table: Resource, own: Mapping[str, str]) -> None:
        self._rules = rules
        self._caller = caller
        self._table = table
        self._own = own
        grants = [each for each in rules.role_grants_of(caller, table) if each.gives_kind is Gives.ROLE]
        self._direct = caller.roles | {each.gives for each in grants if each.to_kind is To.USER}
        self._nested = [(each.to, each.gives) for each in grants if each.to_kind is To.ROLE]

    def whole(self) -> str | None:
        """What all of them together let be seen; None for everything."""
        if self._reads(frozenset()):
            return None
        ways = [way for role in sorted(self._direct) if (way := self._by(role, frozenset())) is not None]
        if ways:
            return _any_of(ways)
        return _all_of(self._own.get(role) for role in sorted(self._rules.roles_for(self._caller, self._table)))

    def _by(self, role: str, above: frozenset[str]) -> tuple[str | None] | None:
        """What one role lets be seen, by itself or by a role that it has: None if nothing, (None,) if everything."""
        inner: str | None = None
        if not self._reads(frozenset({role})):
            below = [gives for to, gives in self._nested if to == role and gives not in above]
            ways = [way for each in sorted(below) if (way := self._by(each, above | {role})) is not None]
            if not ways:
                return None
            inner = _any_of(ways)
        return (_all_of([self._own.get(role), inner]),)

    def _reads(self, roles: frozenset[str]) -> bool:
        return self._rules.ask(self._caller, roles, READING, self._table).allowed


def _any_of(ways: Iterable[tuple[str | None]]) -> str | None:
    conditions = [condition for (condition,) in ways]
    given = [each for each in conditions if each is not None]
    return None if len(given) < len(conditions) else _joined(given, "OR")


def _all_of(conditions: Iterable[str | None]) -> str | None:
    return _joined([each for each in conditions if each is not None], "AND")


def _joined(conditions: Iterable[str], word: str) -> str | None:
    """Several conditions as one, each in brackets; one by itself as it is; None for none."""
    given = list(dict.fromkeys(conditions))
    return f" {word} ".join(f"({each})" for each in given) if len(given) > 1 else next(iter(given), None)
