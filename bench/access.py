"""Permissions: decisions a second of which the answer is kept, and how long one takes that is not.

`python -m bench.access` prints a JSON document. Kept: 100 callers ask for 5 actions on 30 runs each, in turn, all of
them different values. By class: the values are made anew for each question, as a server makes them, and the answer to a
like question is kept. Anew: Cedar decides.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from rowkeeper.access import CedarPermissions, Resource, of_run
from rowkeeper.access.builtin import BUILT_IN_ROLES
from rowkeeper.access.rules import Rules
from rowkeeper.caller import Caller, CallerKind
from rowkeeper.ledger import Auditing, Ledger
from rowkeeper.ledger.grants import Gives, NewGrant, To
from rowkeeper.ledger.ledger import utc_now

ACTIONS = ("run.show", "run.resume", "run.rollback", "quarantine.show", "quarantine.reveal")
ROUNDS, FRESH, ANEW = 20, 50_000, 400

Asked = tuple[Caller, str, Resource]


def caller(number: int) -> Caller:
    """One of many, with one of the roles."""
    role = tuple(BUILT_IN_ROLES)[number % len(BUILT_IN_ROLES)]
    return Caller(CallerKind.USER, f"user{number}", roles=frozenset({role}), purpose="billing")


def per_second(decide: Callable[[Caller, str, Resource], object], asked: Iterable[Asked], count: int) -> float:
    """How many a second, of so many."""
    started = time.perf_counter()
    for each in asked:
        decide(*each)
    return count / (time.perf_counter() - started)


def main() -> None:
    """Measures and prints."""
    with tempfile.TemporaryDirectory() as folder:
        auditing = Auditing(lambda: (bytes(range(32)),))
        with Ledger.open(None, Path(folder), auditing=auditing) as ledger:
            for number in range(20):
                ledger.grants.add(
                    NewGrant(To.USER, f"user{number}", Gives.ACTION, "data.query", "table", f"d.t{number}")
                )
            permissions = CedarPermissions(Path(folder), ledger.grants, None, utc_now)
            print(json.dumps(measured(permissions)))


def measured(permissions: CedarPermissions) -> dict[str, float]:
    """The three figures, and the ratio of the first to the last."""
    callers, runs = [caller(number) for number in range(100)], [of_run(number, "flights") for number in range(30)]
    asked = [(each, action, run) for run in runs for action in ACTIONS for each in callers]
    for each in asked:
        permissions.decide(*each)
    kept = max(per_second(permissions.decide, asked, len(asked)) for _ in range(ROUNDS))
    fresh = ((caller(each % 100), ACTIONS[each % 5], of_run(each, "flights")) for each in range(FRESH))
    by_class = per_second(permissions.decide, fresh, FRESH)
    anew = per_second(_anew(permissions.rules()), itertools.islice(asked, ANEW), ANEW)
    return {
        "kept_per_second": round(kept),
        "by_class_per_second": round(by_class),
        "anew_microseconds": round(1e6 / anew, 1),
        "times_anew": round(kept / anew),
    }


def _anew(rules: Rules) -> Callable[[Caller, str, Resource], object]:
    """Decides without any answer kept."""

    def decide(asking: Caller, action: str, resource: Resource) -> object:
        rules.judge.answers.clear()
        return rules.decide(dataclasses.replace(asking), action, resource)

    return decide


if __name__ == "__main__":
    main()
