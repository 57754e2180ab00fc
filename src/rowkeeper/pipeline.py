"""Pipeline: the declaration that a user writes, and the loading of the file it stands in."""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import math
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import polars as pl
import pyarrow as pa
from pydantic import BaseModel, ValidationError

from rowkeeper.calendars import Calendar, Due
from rowkeeper.calendars.due import HINT as DUE_HINT
from rowkeeper.contracts import BusinessRule, Contract
from rowkeeper.endpoints import Endpoint
from rowkeeper.errors import ConfigurationError, DeclarationError, FrameworkError, PipelineFileError, is_fault
from rowkeeper.nearest import did_you_mean, nearest, one_of
from rowkeeper.protocols import Destination, DriftPolicy, Following, Reaching, Source
from rowkeeper.quality import CompleteDays, Freshness, FreshRule, Gate
from rowkeeper.schedule import Timing, circle
from rowkeeper.security.egress.guard import standing
from rowkeeper.security.protection.markers import marked_fields
from rowkeeper.security.scanning.declared import refuse_declared
from rowkeeper.security.scanning.python import refuse_secrets

Transform = Callable[[pa.Table], "pa.Table | pl.DataFrame"] | Callable[[pl.DataFrame], "pa.Table | pl.DataFrame"]

RULE_CHARACTERS_MAX = 255  # by which the ledger knows it
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}")
UNEXPECTED = re.compile(r"(?P<function>[\w.]+)\(\) got an unexpected keyword argument '(?P<argument>\w+)'")


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """What is loaded, what a good row is, and where it goes.

    Args:
        name: names the pipeline in the ledger for good; letters, digits, `_`, `.`, `-`.
        source: where rows come from, such as `rk.sources.files("data/*.csv")`.
        contract: any Pydantic v2 model; its fields are the destination's columns.
        destination: where rows go, such as `rk.destinations.clickhouse("flights", order_by=["carrier"])`.
        transform: an optional function on the accepted rows of a batch, as a Polars frame if its first
            parameter is annotated `pl.DataFrame`, otherwise as an Arrow table. It sees the clear values of protected
            columns, in memory; what it returns is protected afterwards. The rows it drops count as
            filtered; it must not make rows, and what it returns must fit the contract's columns. Keep the
            column `_rk_row` where there is a choice: it is the row's address, and leads from the table back
            to the file and line.
        gates: what must be true of all staged rows before they are published, such as `rk.complete("placed")`.
        drift: what happens to a column of the source that the contract does not name: `reject` fails the run,
            `ignore` drops it, `evolve` adds it to the table as a Nullable column.
        rules: conditions on the columns of a row, beside the contract's own, each made by `rk.rule`.
        on_error: what happens when a partition (a file) cannot be read: `stop` fails the run, `continue` publishes the
            others, lists this one with its reason, and leaves it to the next run. Not with `write="replace"`, which
            would take away the rows of what failed.
        schedule: when `rowkeeper worker` runs it: `every 15m` (s, m, h, d), or cron text in UTC (`30 6 * * 1-5`) or in
            a time zone of its own (`30 6 * * * Europe/Oslo`). `follow` keeps a stream followed, as `run --follow` does.
        calendar: instants of cron text on days off are none: a code of holidays such as `DE-BY`, or an `rk.Calendar`.
        every: the same as `schedule="every ..."`: `"15m"`, seconds, or a `timedelta`.
        catch_up: what becomes of instants that no worker answered in time: `once` runs once for all of them together,
            `all` once for each, in order, `none` goes on with the next.
        catch_up_within: such instants are passed over once they are older: `"6h"`, seconds, or a `timedelta`. With
            `catch_up="none"` it is how late a run may begin, by default a minute.
        jitter: each run is begun up to so much later, by its instant: the same whichever worker begins it.
        overlap: what becomes of instants that come while a run is under way: `queue` answers them after it, as
            `catch_up` says; `skip` passes them over.
        after: names of pipelines; it is run after each publish of theirs as well.
        join: whether a publish of `any` of them is enough, or `all` must have published since the last run.
        deadline: how long one run may take: seconds, or a `timedelta`. When it is over the run is interrupted, whatever
            it is at; the next run goes on where it stopped.
        freshness: what must be true of the table at any time, run or no run, each made by `rk.fresh` or
            `rk.complete_days`; `rowkeeper health` judges it.
        due: by when it has to have published, day by day: `06:00 Europe/Berlin`, `06:00 mon-fri Europe/Berlin`, or an
            `rk.Due` with a calendar. `rowkeeper health` warns before it is missed.
        endpoints: what the pipeline's own code (transforms, validators) connects to, each made by `rk.Endpoint`. What
            source and destination connect to they say themselves.

    Raises:
        ConfigurationError: the declaration cannot work; no row has been touched.
    """

    name: str
    _: dataclasses.KW_ONLY
    source: Source
    contract: type[BaseModel]
    destination: Destination
    transform: Transform | None = None
    gates: Sequence[Gate] = ()
    drift: DriftPolicy = "reject"
    rules: Sequence[BusinessRule] = ()
    on_error: Literal["stop", "continue"] = "stop"
    schedule: str | None = None
    calendar: str | Calendar | None = None
    every: str | float | timedelta | None = None
    catch_up: Literal["once", "all", "none"] = "once"
    catch_up_within: str | float | timedelta | None = None
    jitter: str | float | timedelta | None = None
    overlap: Literal["queue", "skip"] = "queue"
    after: Sequence[str] = ()
    join: Literal["any", "all"] = "any"
    deadline: float | timedelta | None = None
    endpoints: Sequence[Endpoint] = ()
    freshness: Sequence[Freshness] = ()
    due: str | Due | None = None
    file: Path | None = dataclasses.field(default=None, compare=False, repr=False)  # where it was declared

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise DeclarationError(
                f"{self.name!r} cannot name a pipeline",
                hint="a letter, then up to 99 letters, digits, '_', '.' or '-'",
            )
        if self.drift not in ("reject", "ignore", "evolve"):
            raise DeclarationError(
                f"pipeline {self.name}: drift={self.drift!r} is no policy",
                hint=one_of(self.drift, ("reject", "ignore", "evolve")),
            )
        if self.on_error not in ("stop", "continue"):
            raise DeclarationError(
                f"pipeline {self.name}: on_error={self.on_error!r} is no policy",
                hint=one_of(self.on_error, ("stop", "continue")),
            )
        if self.on_error == "continue" and self.destination.write_mode == "replace":
            raise DeclarationError(
                f'pipeline {self.name}: on_error="continue" cannot be with write="replace"',
                hint="the table would lose the rows of a partition that failed; leave one of them out",
            )
        if self.transform is not None and not callable(self.transform):
            raise DeclarationError(
                f"pipeline {self.name}: the transform cannot be called",
                hint="pass a function of one argument",
            )

        if isinstance(self.gates, (str, Gate)) or not all(isinstance(gate, Gate) for gate in self.gates):
            raise DeclarationError(
                f"pipeline {self.name}: gates is no list of quality gates",
                hint='such as gates=[rk.complete("placed"), rk.volume(at_least=1)]',
            )
        refuse_declared(self.source, f"pipeline {self.name}: source")
        refuse_declared(self.destination, f"pipeline {self.name}: destination")
        if self.timing is not None and self.timing.follows and not isinstance(self.source, Following):
            raise DeclarationError(
                f'pipeline {self.name}: schedule="follow" is for streams, and its source cannot be followed',
                hint='schedule="every 15m" runs it again and again',
            )
        if self.deadline is not None and not _is_time(self.deadline):
            raise DeclarationError(
                f"pipeline {self.name}: deadline={self.deadline!r} is no time that a run may take",
                hint="seconds, more than 0, or a timedelta: deadline=600, deadline=timedelta(minutes=10)",
            )
        if not all(isinstance(each, Endpoint) for each in self.endpoints):
            raise DeclarationError(
                f"pipeline {self.name}: endpoints is no list of endpoints",
                hint='such as endpoints=[rk.Endpoint("api.example.com", 443)]',
            )
        self._check_freshness()

    def _check_freshness(self) -> None:
        """What is judged over time: rules of one name each, and no gates."""
        for gate in self.gates:
            if isinstance(gate, FreshRule) and not gate.gates:
                raise DeclarationError(
                    f"pipeline {self.name}: {gate.name} says something of the table over time, and no gate",
                    hint="put it into freshness=[...]; a gate is fresh(column, within=...)",
                )
        if not _are_rules(self.freshness):
            raise DeclarationError(
                f"pipeline {self.name}: freshness is no list of rules",
                hint='such as freshness=[rk.fresh("time_hour", within="2h", by="carrier")]',
            )
        for rule in self.freshness:
            self._check_rule(rule)
        if isinstance(self.due, str):
            Due(self.due)
        elif not isinstance(self.due, (Due, type(None))):
            raise DeclarationError(f"pipeline {self.name}: due={self.due!r} is no deadline", hint=DUE_HINT)

    def _check_rule(self, rule: Freshness) -> None:
        """It has a name of its own, and is about columns that everybody may see."""
        if sum(each.name == rule.name for each in self.freshness) > 1:
            raise DeclarationError(
                f"pipeline {self.name}: there are two rules {rule.name}", hint="leave one of them out"
            )
        if len(rule.name) > RULE_CHARACTERS_MAX:
            raise DeclarationError(
                f"pipeline {self.name}: {rule.name[:60]}... is too long a rule", hint="name columns of shorter names"
            )
        for column in rule.columns():
            if column not in self.contract.model_fields:
                raise DeclarationError(
                    f"pipeline {self.name}: {rule.name}: the contract has no field {column}",
                    hint=did_you_mean(column, self.contract.model_fields, "name a column of the table"),
                )
            if column in self.classified:
                raise DeclarationError(
                    f"pipeline {self.name}: {rule.name}: {column} is classified, and health would show its values",
                    hint="name a column that is not",
                )

    @property
    def due_by(self) -> Due | None:
        """By when it has to have published, day by day."""
        return Due(self.due) if isinstance(self.due, str) else self.due

    @cached_property
    def timing(self) -> Timing | None:
        """When it is run by itself; None: when it is asked for. Raises DeclarationError if that cannot be."""
        return Timing.declared(
            self.name,
            schedule=self.schedule,
            every=self.every,
            catch_up=self.catch_up,
            catch_up_within=self.catch_up_within,
            jitter=self.jitter,
            overlap=self.overlap,
            after=self.after,
            join=self.join,
            calendar=self.calendar,
        )

    @property
    def reached(self) -> tuple[Endpoint, ...]:
        """Every place on the network that it declares, each with what it is for."""
        found = [(each, "own code") for each in self.endpoints]
        for part, what in ((self.source, "source"), (self.destination, "destination")):
            if isinstance(part, Reaching):
                found += [(each, what) for each in part.endpoints()]
        return tuple(dataclasses.replace(each, why=f"{self.name}: {each.why or what}") for each, what in found)

    @property
    def deadline_seconds(self) -> float | None:
        """How long one run may take; None is as long as it needs."""
        return self.deadline.total_seconds() if isinstance(self.deadline, timedelta) else self.deadline

    @cached_property
    def classified(self) -> frozenset[str]:
        """The columns whose values are not for everybody: `Annotated[..., rk.Classified("identifier")]`.

        Raises DeclarationError for a field with two protections, or one for a part of it.
        """
        return frozenset(marked_fields(self.contract))

    @cached_property
    def checker(self) -> Contract:
        """The contract, ready to check batches. Raises ContractError or DeclarationError if it cannot be."""
        return Contract(self.contract, drift=self.drift, rules=self.rules)


def _are_rules(given: Iterable[object]) -> bool:
    return all(isinstance(each, (FreshRule, CompleteDays)) for each in given)


def _is_time(given: object) -> bool:
    if isinstance(given, timedelta):
        return given > timedelta(0)
    return isinstance(given, (int, float)) and not isinstance(given, bool) and 0 < given < math.inf


def load_file(path: Path) -> dict[str, Pipeline]:
    """Runs a pipeline file and returns its pipelines by name, in the order in which it declares them.

    Raises:
        ConfigurationError: there is no such file, it raises, or it declares no pipeline.
    """
    if not path.is_file():
        files = [each.name for each in path.parent.glob("*.py")]
        hint = did_you_mean(path.name, files, "rowkeeper init FILE makes one from a sample")
        raise PipelineFileError(f"there is no pipeline file {path}", hint=hint)
    refuse_secrets(path)
    module = _execute(path.absolute())
    found: dict[str, Pipeline] = {}
    for value in vars(module).values():
        if isinstance(value, Pipeline):
            if found.get(value.name, value) is not value:
                raise PipelineFileError(
                    f"{path} declares two pipelines of the name {value.name}",
                    hint="give each a name of its own",
                )
            found[value.name] = _located(value, path.absolute())
    if not found:
        raise PipelineFileError(
            f"{path} declares no pipeline",
            hint='assign one at its top level: flights = rk.Pipeline("flights", ...)',
        )
    around = circle({name: each.timing.after for name, each in found.items() if each.timing is not None})
    if around:
        raise PipelineFileError(
            f"{path}: {' after '.join(around)}: each would wait for the other",
            hint="leave one of them out of after=",
        )
    return found


def select(path: Path, name: str | None) -> list[Pipeline]:
    """The pipelines of a file, or the one of this name. From now on the process may reach what they declare."""
    found = load_file(path)
    if name is not None and name not in found:
        raise PipelineFileError(
            f"{path} declares no pipeline {name}", hint=did_you_mean(name, found, "it declares " + ", ".join(found))
        )
    chosen = list(found.values()) if name is None else [found[name]]
    guard = standing()
    if guard is not None:
        guard.declare(each for pipeline in chosen for each in pipeline.reached)
    return chosen


def _located(pipeline: Pipeline, path: Path) -> Pipeline:
    """Relative paths in a pipeline file are relative to the file, wherever the command is typed."""
    found: dict[str, Any] = {}
    for end in ("source", "destination"):
        located = getattr(getattr(pipeline, end), "located", None)
        if located is not None:
            found[end] = located(path.parent)
    return dataclasses.replace(pipeline, **found, file=path)


def _execute(path: Path) -> ModuleType:
    """Imports the file as a module of its own, with its folder importable, as `python FILE` would."""
    spec = importlib.util.spec_from_file_location("rowkeeper_pipeline_" + re.sub(r"\W", "_", path.stem), path)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{path} is not a Python file", hint="a pipeline file ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except FrameworkError as error:
        line = _line_in(error, path)
        raise type(error)(f"{path}{line}: {error.what}", hint=error.hint, context=error.context) from error
    except SyntaxError as error:
        raise PipelineFileError(
            f"{error.filename}, line {error.lineno}: {error.msg}", hint="correct the pipeline file"
        ) from error
    except BaseException as error:
        if not is_fault(error) and not isinstance(error, SystemExit):
            raise
        raise PipelineFileError(  # the user's own code may raise anything at all
            f"{path}{_line_in(error, path)}: the pipeline file raised {type(error).__name__}: {_said_by(error)}",
            hint=_hint_for(error),
        ) from error
    return module


def _line_in(error: BaseException, path: Path) -> str:
    """The last line of the user's file that was running, as ', line 7'."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f", line {lines[-1]}" if lines else ""


def _said_by(error: BaseException) -> str:
    """The words of the user's own file. What Pydantic says is told without the input, which may be a secret."""
    if isinstance(error, ValidationError):
        faults = [f"{'.'.join(map(str, each['loc']))}: {each['type']}" for each in error.errors(include_input=False)]
        return f"{error.title}: {'; '.join(faults)}"
    return str(error)


def _hint_for(error: BaseException) -> str:
    if isinstance(error, (AttributeError, NameError)) and (near := _meant(error)):
        return f"did you mean {near}?"
    if isinstance(error, TypeError) and (near := _argument_meant(error)):
        return f"did you mean {near}=?"
    if isinstance(error, ImportError):
        return "install what it imports where rowkeeper is installed, or put it beside the pipeline file"
    return "correct the pipeline file; python FILE shows the whole traceback"


def _meant(error: AttributeError | NameError) -> str:
    """The attribute of one of Rowkeeper's own modules that a wrong one was meant to be."""
    owner = getattr(error, "obj", None)
    if error.name is None or getattr(owner, "__name__", "").partition(".")[0] != "rowkeeper":
        return ""
    return nearest(error.name, [each for each in dir(owner) if not each.startswith("_")])


def _argument_meant(error: TypeError) -> str:
    """The argument of one of Rowkeeper's own functions or classes that an unknown one was meant to be."""
    match = UNEXPECTED.search(str(error))
    public = sys.modules["rowkeeper"]
    if match is None:
        return ""
    name = match["function"].removesuffix(".__init__").rpartition(".")[2]
    places = [public, *(each for each in vars(public).values() if isinstance(each, ModuleType))]
    for callee in (getattr(place, name, None) for place in places):
        if callable(callee):
            return nearest(match["argument"], inspect.signature(callee).parameters)
    return ""


def transform_takes_polars(transform: Callable[..., Any]) -> bool:
    """Whether the transform's first parameter is annotated as a Polars frame."""
    annotations = [value for name, value in getattr(transform, "__annotations__", {}).items() if name != "return"]
    first = annotations[0] if annotations else None
    return first is pl.DataFrame or first in ("pl.DataFrame", "polars.DataFrame", "DataFrame")
