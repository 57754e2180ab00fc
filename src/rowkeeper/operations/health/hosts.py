"""Other processes and machines: the engine, breakers, and what the named pipelines read from and write to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from rowkeeper.destinations import engine_pid, engine_status, server_status
from rowkeeper.errors import DeadlineExceeded, FrameworkError
from rowkeeper.operations.health.check import Check, State
from rowkeeper.operations.health.context import HealthContext
from rowkeeper.pipeline import Pipeline
from rowkeeper.protocols import Closing, Following, Reachable
from rowkeeper.resilience.deadline import deadline

if TYPE_CHECKING:
    from rowkeeper.destinations.embedded.inspection import EngineStatus
    from rowkeeper.destinations.server.inspection import ServerStatus

ANSWER_SECONDS_MAX = 5.0
PARTS_MANY = 300  # in one partition: queries get slow; at 3,000 ClickHouse refuses inserts
EMBEDDED = "clickhouse:embedded/"


def look_at_engine(context: HealthContext) -> Iterator[Check]:
    """The embedded engine, if its host is up: it is started for nothing else. Or each replica of the server."""
    site = context.workspace.site
    if site.clickhouse:
        with deadline(2 * ANSWER_SECONDS_MAX):
            yield from map(_server, server_status(site, site.clickhouse_reader))
        return
    pid = engine_pid(site)
    if pid is None:
        yield Check("engine", "", State.GOOD, "its host is not up; it is started when it is needed")
        return
    try:
        with deadline(ANSWER_SECONDS_MAX):
            yield _embedded(engine_status(site))
    except DeadlineExceeded:
        told = f"its host (process {pid}) does not answer"
        mend = f"kill -9 {pid}: the next command starts another, and loses nothing"
        yield Check("engine", "", State.BAD, told, f"within {ANSWER_SECONDS_MAX:.0f} s", mend)


def _server(status: ServerStatus) -> Check:
    if status.faults:
        return Check("engine", status.place, State.BAD, "; ".join(status.faults), mend=status.hint)
    return Check("engine", status.place, State.GOOD, f"ClickHouse {status.version}")


def _embedded(status: EngineStatus) -> Check:
    if status.faults:
        mend = "rowkeeper verify FILE tells which rows are gone; roll that run back, and run again"
        return Check("engine", "", State.BAD, "; ".join(status.faults), mend=mend)
    if status.parts_most > PARTS_MANY:
        told, mend = f"{status.parts_most:,} parts in one partition", "load more rows at a time, less often"
        return Check("engine", "", State.WARNING, told, f"{PARTS_MANY:,} parts", mend)
    return Check("engine", "", State.GOOD, f"ClickHouse {status.version}, process {status.pid}")


def look_at_breakers(context: HealthContext) -> Iterator[Check]:
    """A check for each breaker that ever opened. One whose time is over lets a few calls through, to try."""
    for each in context.workspace.ledger.breakers.read():
        subject = f"{each.name.host} {each.name.operation}"
        if each.open_seconds is None:
            yield Check("breaker", subject, State.GOOD, "closed")
        elif each.open_seconds > 0:
            told = f"left alone for {each.open_seconds:,.0f} s: calls to it failed"
            yield Check("breaker", subject, State.BAD, told, mend="see to that host; calls go on by themselves")
        else:
            told = "calls to it failed; it is tried again at the next one"
            yield Check("breaker", subject, State.WARNING, told, mend="see to that host")


def look_at_destinations(context: HealthContext) -> Iterator[Check]:
    """Whether those of the named pipelines can be reached. The embedded engine has a check of its own."""
    for pipeline in context.pipelines:
        if not pipeline.destination.target.startswith(EMBEDDED):
            yield _reached("destination", pipeline, partial(_reach_destination, context, pipeline))


def _reach_destination(context: HealthContext, pipeline: Pipeline) -> None:
    session = pipeline.destination.connect(context.workspace.site, None)
    try:
        session.commit_record()
    finally:
        session.close()


def look_at_sources(context: HealthContext) -> Iterator[Check]:
    """Whether those of the named pipelines can be reached, of the kinds that can say so cheaply. Streams have `lag`."""
    for pipeline in context.pipelines:
        source: Any = pipeline.source
        if isinstance(source, Following):
            continue
        if not isinstance(source, Reachable):
            told = "not looked at: a source of this kind cannot say cheaply whether it can be reached"
            yield Check("source", pipeline.name, State.GOOD, told)
            continue
        yield _reached("source", pipeline, partial(_reach_source, context, source))


def _reach_source(context: HealthContext, source: Any) -> None:
    opened = source.at(context.workspace.site)
    try:
        opened.reach()
    finally:
        if isinstance(opened, Closing):
            opened.close()


def _reached(name: str, pipeline: Pipeline, reach: Callable[[], None]) -> Check:
    try:
        with deadline(ANSWER_SECONDS_MAX):
            reach()
    except FrameworkError as error:
        return Check(name, pipeline.name, State.BAD, error.what, f"within {ANSWER_SECONDS_MAX:.0f} s", error.hint)
    return Check(name, pipeline.name, State.GOOD, "can be reached")
