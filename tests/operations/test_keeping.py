"""Which backups are kept: a function of what is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from rowkeeper.errors import SettingsError
from rowkeeper.operations.backups.keeping import Condition, Known, Policy, decide
from tests import extent

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def daily(count: int, *, full_every: int = 1) -> list[Known]:
    """A backup at each noon, of which each so many is a full one."""
    found: list[Known] = []
    for number in range(count):
        chain = [each.id for each in found[number - number % full_every :]]
        found.append(Known(f"b{number:04}", BEGIN + number * DAY + timedelta(hours=12), tuple(chain)))
    return found


def kept(backups: Sequence[Known], policy: str) -> list[str]:
    return list(decide(backups, Policy.parse(policy)).kept)


def test_the_newest_of_each_period_is_kept():
    """Two years of nightly backups: seven days, four weeks, twelve months, two years, many of them the same."""
    backups = daily(730)
    found = decide(backups, Policy.parse("7 daily, 4 weekly, 12 monthly, 3 yearly"))
    by_rule = {
        rule: [id for id, why in found.kept.items() if rule in why] for rule in ("daily", "weekly", "monthly", "yearly")
    }
    assert {rule: len(ids) for rule, ids in by_rule.items()} == {"daily": 7, "weekly": 4, "monthly": 12, "yearly": 2}
    assert by_rule["yearly"] == ["b0364", "b0729"]  # 31 December
    assert len(found.kept) + len(found.removed) == 730


def test_periods_without_backups_do_not_count():
    """Where no backups were made for a year, the old ones stay: age alone removes nothing."""
    backups = daily(10)
    assert kept(backups, "3 daily") == ["b0007", "b0008", "b0009"]
    late = [*backups, Known("b9999", BEGIN + 400 * DAY)]
    assert kept(late, "3 daily") == ["b0008", "b0009", "b9999"]


def test_a_base_that_something_needs_is_kept():
    """Of a chain of seven the last is kept, and with it all that it goes on from."""
    backups = daily(14, full_every=7)
    assert kept(backups, "1 last") == [f"b{number:04}" for number in range(7, 14)]
    found = decide(backups, Policy.parse("1 last"))
    assert found.kept["b0007"][0].startswith("needed by")


def test_whatever_needs_another_goes_before_it():
    """So that a process that dies between two removals leaves no backup without its base."""
    found = decide(daily(14, full_every=7), Policy.parse("1 last"))
    assert found.removed == tuple(f"b{number:04}" for number in range(6, -1, -1))


@pytest.mark.parametrize("condition", [Condition.DAMAGED, Condition.FOREIGN])
def test_what_is_not_good_takes_no_ones_place(condition: Condition):
    """A damaged newest backup, or somebody else's, does not count as the newest; it stays until somebody decides."""
    backups = [*daily(3), Known("b0003", BEGIN + 3 * DAY, condition=condition)]
    assert kept(backups, "1 last") == ["b0002", "b0003"]


def test_a_chain_with_a_gap_is_not_good():
    """Its newest backup cannot be restored, so an older one that can be is kept; and what is left of the chain."""
    whole = daily(4, full_every=2)
    backups = [each for each in whole if each.id != "b0002"]
    assert kept(backups, "1 last") == ["b0000", "b0001", "b0003"]
    decided = decide(backups, Policy.parse("1 last"), damaged=True)
    assert decided.removed == ("b0003",)


def test_backups_of_others_are_never_removed():
    """Not even where what is not good is to go."""
    other = Known("other", BEGIN, condition=Condition.FOREIGN)
    assert decide([other, *daily(3)], Policy.parse("1 last"), damaged=True).kept["other"] == (
        "of another installation",
    )


@pytest.mark.parametrize(
    "text", ["", "all", "7", "daily 7", "7 dayly", "-1 daily", "7 daily, 3 daily", "0 daily", "7 daily; 4 weekly"]
)
def test_a_rule_that_is_none_is_refused(text: str):
    """With an example of one."""
    with pytest.raises(SettingsError, match="backup_keep") as refused:
        Policy.parse(text)
    assert "7 daily" in refused.value.hint


# ----------------------------------------------------------------------------------------------- properties

POLICIES = st.dictionaries(
    st.sampled_from(["last", "hourly", "daily", "weekly", "monthly", "yearly"]), st.integers(0, 4), min_size=1
).filter(lambda counts: any(counts.values()))


@st.composite
def some_backups(draw: st.DrawFn) -> list[Known]:
    """Any order of times, chains of any shape, some damaged, some with something missing, some of others."""
    found: list[Known] = []
    count = draw(st.integers(0, 12))
    for number in range(count):
        at = BEGIN + timedelta(hours=draw(st.integers(0, 24 * 400)))
        base = draw(st.sampled_from([None, *found])) if found else None
        needs = () if base is None or base.condition is not Condition.GOOD else (*base.needs, base.id)
        condition = draw(st.sampled_from([*[Condition.GOOD] * 8, Condition.DAMAGED, Condition.FOREIGN]))
        found.append(Known(f"b{number:02}", at, needs if condition is Condition.GOOD else (), condition))
    lost = draw(st.sets(st.sampled_from([each.id for each in found]), max_size=2)) if found else set()
    return [each for each in found if each.id not in lost]


@given(backups=some_backups(), counts=POLICIES, damaged=st.booleans())
@settings(max_examples=extent.examples(60, 20_000), deadline=None)
def test_a_decision_is_safe_whole_and_final(backups: list[Known], counts: dict[str, int], damaged: bool):
    """Nothing kept misses what it had; the newest good one stays; a second decision removes nothing."""
    policy = Policy(counts)
    known = {each.id: each for each in backups}
    found = decide(backups, policy, damaged=damaged)
    assert sorted([*found.kept, *found.removed]) == sorted(known)
    for id in found.kept:
        older = [each for each in known[id].needs if each in known and known[each].at <= known[id].at]
        assert set(older) <= set(found.kept)
    for place, id in enumerate(found.removed):
        assert not any(
            id in known[later].needs and known[later].at > known[id].at for later in found.removed[place + 1 :]
        )
    good = [each for each in backups if _restorable(each, known)]
    if good:
        assert max(good, key=lambda each: (each.at, each.id)).id in found.kept
    left = [each for each in backups if each.id in found.kept]
    assert decide(left, policy, damaged=damaged).removed == ()


def _restorable(backup: Known, known: dict[str, Known]) -> bool:
    chain = [known.get(each) for each in (*backup.needs, backup.id)]
    in_order = [(each.at, each.id) for each in chain if each is not None]
    return (
        all(each is not None and each.condition is Condition.GOOD for each in chain) and max(in_order) == in_order[-1]
    )
