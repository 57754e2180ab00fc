"""When a pipeline is to be run, as it is declared: its instants, and what to do with those that were missed."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import islice, pairwise
from typing import Any, Literal, get_args

from rowkeeper.calendars import Calendar, calendar_of
from rowkeeper.errors import DeclarationError
from rowkeeper.nearest import one_of
from rowkeeper.schedule.instants import EPOCH, HINT, UNIT_SECONDS, Schedule

FOLLOW = "follow"
CatchUp = Literal["once", "all", "none"]
Overlap = Literal["queue", "skip"]
Join = Literal["any", "all"]
SPAN = re.compile(r"(\d{1,6})\s*(s|m|h|d)")
SOME = 50  # instants, by which the time between two is judged
_FAR = EPOCH + timedelta(days=36_600)
LATE_SECONDS = 60.0  # with catch_up="none": a worker that is up begins a slot within some seconds
Span = str | float | timedelta


@dataclasses.dataclass(frozen=True, slots=True)
class Timing:
    """When a pipeline is run by itself.

    Attributes:
        schedule: as `Schedule` reads it, `follow` for a stream that is always followed, empty for none.
        catch_up: of the instants that nobody answered in time: one run for `all` each, `once` together, `none`.
        within_seconds: those that are older are passed over; None: however old.
        jitter_seconds: a slot is begun up to so much later.
        overlap: of the instants that come while a run is under way: answered after it, or passed over.
        after: pipelines whose publishes make slots as well.
        join: whether `any` publish of theirs makes one, or one of `all` of them since the last.
        calendar: what would be due on other days than its own is not; None: every day counts.
    """

    schedule: str = ""
    catch_up: CatchUp = "once"
    within_seconds: float | None = None
    jitter_seconds: float = 0.0
    overlap: Overlap = "queue"
    after: tuple[str, ...] = ()
    join: Join = "any"
    calendar: Calendar | None = None

    @property
    def follows(self) -> bool:
        """Whether it is a stream that is always followed."""
        return self.schedule == FOLLOW

    @property
    def instants(self) -> Schedule | None:
        """The instants of its schedule; None if it has none."""
        if self.follows or not self.schedule:
            return None
        return Schedule.parse(self.schedule).on_days_of(self.calendar)

    def has_instants_of(self, other: Timing) -> bool:
        """Whether both are due at the same instants, as they are declared."""
        return (self.schedule, self.calendar) == (other.schedule, other.calendar)

    @property
    def told(self) -> str:
        """In some words, for people."""
        joined = (" or " if self.join == "any" else " and ").join(self.after)
        days = f"({self.calendar.told})" if self.calendar is not None else ""
        when = f"{self.schedule} {days}".strip()
        return ", ".join(each for each in (when, joined and f"after {joined}") if each)

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        plain = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        days = None if self.calendar is None else self.calendar.as_dict()
        return {**plain, "after": list(self.after), "calendar": days}

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> Timing:
        """From its JSON document."""
        days = document.get("calendar")  # those that were written before there were any have none
        calendar = None if days is None else Calendar.of_document(days)
        return cls(**{**document, "after": tuple(document["after"]), "calendar": calendar})

    @classmethod
    def declared(
        cls,
        pipeline: str,
        *,
        schedule: str | None,
        every: Span | None,
        catch_up: str,
        catch_up_within: Span | None,
        jitter: Span | None,
        overlap: str,
        after: Sequence[str],
        join: str,
        calendar: str | Calendar | None = None,
    ) -> Timing | None:
        """What a pipeline declares; None if it is not to be run by itself. Raises DeclarationError if it cannot be."""
        text = _schedule(pipeline, schedule, every)
        _check_word(pipeline, "catch_up", catch_up, get_args(CatchUp))
        if overlap == "allow":
            raise DeclarationError(
                f'pipeline {pipeline}: overlap="allow" cannot be: two runs would write to one table at a time',
                hint='overlap="queue" runs the next after the one under way, "skip" passes it over',
            )
        _check_word(pipeline, "overlap", overlap, get_args(Overlap))
        _check_word(pipeline, "join", join, get_args(Join))
        within = None if catch_up_within is None else seconds_of(catch_up_within, f"{pipeline}: catch_up_within")
        late = 0.0 if jitter is None else seconds_of(jitter, f"{pipeline}: jitter")
        names = _after(pipeline, after)
        days = calendar_of(calendar, f"pipeline {pipeline}")
        timing = cls(text, catch_up, within, late, overlap, names, join, days)  # type: ignore[arg-type]  # checked above
        if timing == cls():
            return None
        _check_together(pipeline, timing)
        return timing


def seconds_of(span: Span, what: str) -> float:
    """A span of time in seconds: `15m`, a number of seconds, or a timedelta. Raises DeclarationError."""
    seconds = math.nan
    if isinstance(span, timedelta):
        seconds = span.total_seconds()
    elif isinstance(span, (int, float)) and not isinstance(span, bool):
        seconds = float(span)
    elif isinstance(span, str) and (found := SPAN.fullmatch(span.strip().lower())):
        seconds = int(found[1]) * UNIT_SECONDS[found[2]]
    if not 0 < seconds < math.inf:
        raise DeclarationError(f"{what}={span!r} is no span of time", hint='such as "15m" (s, m, h, d), or a timedelta')
    return float(seconds)


def _schedule(pipeline: str, schedule: str | None, every: Span | None) -> str:
    if every is not None:
        if schedule is not None:
            raise DeclarationError(f"pipeline {pipeline}: both schedule= and every= are given", hint="leave one out")
        seconds = seconds_of(every, f"pipeline {pipeline}: every")
        if seconds != int(seconds):
            raise DeclarationError(f"pipeline {pipeline}: every={every!r} is no number of seconds", hint=HINT)
        return f"every {every.strip().lower()}" if isinstance(every, str) else f"every {int(seconds)}s"
    if schedule is None:
        return ""
    if schedule != FOLLOW:
        Schedule.parse(schedule)
    return schedule


def _check_word(pipeline: str, name: str, word: str, words: Sequence[str]) -> None:
    if word not in words:
        raise DeclarationError(f"pipeline {pipeline}: {name}={word!r} is no policy", hint=one_of(word, words))


def _after(pipeline: str, after: Sequence[str]) -> tuple[str, ...]:
    if isinstance(after, str) or not all(isinstance(each, str) and each for each in after):
        raise DeclarationError(f"pipeline {pipeline}: after is no list of names", hint='such as after=["flights"]')
    names = tuple(dict.fromkeys(after))
    if pipeline in names:
        raise DeclarationError(f"pipeline {pipeline} cannot come after itself", hint="name the pipelines that it reads")
    return names


def _check_together(pipeline: str, timing: Timing) -> None:
    """Raises DeclarationError for what cannot be with each other."""
    if timing.follows and timing != Timing(FOLLOW):
        raise DeclarationError(
            f'pipeline {pipeline}: schedule="follow" has no slots, so nothing else can be said of them',
            hint="leave catch_up, catch_up_within, jitter, overlap, after and calendar out",
        )
    if not timing.schedule and not timing.after:
        raise DeclarationError(
            f"pipeline {pipeline}: it says how slots are treated, and has none", hint=f"add a schedule, {HINT}"
        )
    if timing.calendar is not None and not timing.schedule:
        raise DeclarationError(
            f"pipeline {pipeline}: calendar is for instants of a schedule, and it has none", hint=f"add one, {HINT}"
        )
    if timing.join == "all" and not timing.after:
        raise DeclarationError(f'pipeline {pipeline}: join="all" is about after=', hint="add after=[...]")
    if timing.jitter_seconds and not timing.schedule:
        raise DeclarationError(
            f"pipeline {pipeline}: jitter is for instants of a schedule, and it has none", hint="leave jitter out"
        )
    instants = timing.instants  # which is refused with some calendars
    if instants is not None and timing.jitter_seconds:
        some = list(islice(instants.between(EPOCH, _FAR), SOME))
        gap = min((later - earlier).total_seconds() for earlier, later in pairwise(some))
        if timing.jitter_seconds >= gap:
            raise DeclarationError(
                f"pipeline {pipeline}: jitter={timing.jitter_seconds:,.0f} s is as long as the time between two slots",
                hint=f"less than {gap:,.0f} s",
            )
