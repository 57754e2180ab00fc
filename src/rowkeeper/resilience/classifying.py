"""Which outcome an exception stands for: rules, asked in turn; a connector puts its own before ours.

    API = DEFAULT.with_rules(lambda error: Judgement(Outcome.THROTTLED) if isinstance(error, TooMany) else None)

An error that no rule knows is permanent: repeating what nobody understands is how data is loaded twice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from rowkeeper.errors import AmbiguousError, CircuitOpenError, DeadlineExceeded, FrameworkError, VpnRefused
from rowkeeper.resilience.outcomes import Effect, Judgement, Outcome
from rowkeeper.resilience.rules import clickhouse, http, network, sql, tls

Rule = Callable[[BaseException], Judgement | None]
"""Judges an exception of its own kind, as for a call that changes something; None for what is not its business."""


@dataclasses.dataclass(frozen=True, slots=True)
class Classifier:
    """Rules in the order in which they are asked; the first that knows the error decides."""

    rules: tuple[Rule, ...]

    def with_rules(self, *rules: Rule) -> Classifier:
        """The same, with rules that are asked first."""
        return Classifier(rules + self.rules)

    def judge(self, error: BaseException, effect: Effect) -> Judgement:
        """The outcome of a call with this effect that ended in this error.

        Explicit causes are followed: drivers wrap what happened in words of their own. What was merely being handled
        when another error was raised is not its cause.
        """
        judgement = self._judge(error)
        if judgement.outcome is Outcome.AMBIGUOUS and effect is Effect.READ:
            return dataclasses.replace(judgement, outcome=Outcome.TRANSIENT)
        return judgement

    def _judge(self, error: BaseException) -> Judgement:
        seen: set[int] = set()
        at: BaseException | None = error
        while at is not None and id(at) not in seen:
            seen.add(id(at))
            for rule in self.rules:
                judgement = rule(at)
                if judgement is not None:
                    return judgement
            at = at.__cause__
        return Judgement(Outcome.PERMANENT)


def ours(error: BaseException) -> Judgement | None:
    """Errors that Rowkeeper raises itself. One with a cause is judged by its cause."""
    if isinstance(error, CircuitOpenError):
        return Judgement(Outcome.TRANSIENT, error.retry_after_seconds)
    if isinstance(error, DeadlineExceeded | AmbiguousError):
        return Judgement(Outcome.AMBIGUOUS)
    if isinstance(error, VpnRefused):  # nothing was sent, and it takes a person to bring the interface up
        return Judgement(Outcome.PERMANENT)
    if isinstance(error, FrameworkError) and error.__cause__ is None:
        return Judgement(Outcome.AMBIGUOUS if error.retryable else Outcome.PERMANENT)
    return None


DEFAULT = Classifier((ours, tls.judge, clickhouse.judge, sql.judge, http.judge, network.judge))
"""What Rowkeeper knows of the drivers it uses, without importing any of them."""
