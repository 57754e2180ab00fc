"""What can be done as a job, and by which function: each asks permissions itself, in the child, when it is carried out.

The names are those of actions, and what a request may say besides is a model for each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rowkeeper.access import Resource, of_pipeline, of_run
from rowkeeper.ledger import JobOrder
from rowkeeper.logs.failure import document
from rowkeeper.runs.report import Observer
from rowkeeper.runs.workspace import Workspace

Work = Callable[[JobOrder, Workspace, Observer], dict[str, Any]]


def _run(order: JobOrder, space: Workspace, observe: Observer) -> dict[str, Any]:
    from rowkeeper.pipeline import select  # noqa: PLC0415 - what one job needs, the others need not load
    from rowkeeper.runs.loading import run_pipeline  # noqa: PLC0415

    [pipeline] = select(Path(order.options["file"]), order.pipeline)
    return run_pipeline(pipeline, space, observe).as_dict()


def _verify(order: JobOrder, space: Workspace, _observe: Observer) -> dict[str, Any]:
    from rowkeeper.pipeline import select  # noqa: PLC0415
    from rowkeeper.runs.verifying import verify_pipeline  # noqa: PLC0415

    [pipeline] = select(Path(order.options["file"]), order.pipeline)
    return verify_pipeline(pipeline, space).as_dict()


def _drain(order: JobOrder, space: Workspace, observe: Observer) -> dict[str, Any]:
    from rowkeeper.runs.draining import drain_spool  # noqa: PLC0415

    drained = drain_spool(space, pipeline=order.pipeline, observe=observe)
    return {
        "destinations": [
            {
                "target": each.target,
                "runs": [report.as_dict() for report in each.reports],
                "error": None if each.error is None else document(each.error),
            }
            for each in drained
        ]
    }


def _resume(order: JobOrder, space: Workspace, observe: Observer) -> dict[str, Any]:
    from rowkeeper.runs.parked import resume  # noqa: PLC0415

    return resume(_number(order), space, observe).as_dict()


def _abandon(order: JobOrder, space: Workspace, observe: Observer) -> dict[str, Any]:
    from rowkeeper.runs.parked import abandon  # noqa: PLC0415

    finding = abandon(_number(order), space, order.options["reason"], observe)
    return {"run": order.run, "outcome": finding.outcome, "note": finding.note}


def _publish(order: JobOrder, space: Workspace, observe: Observer) -> dict[str, Any]:
    from rowkeeper.runs.holding import publish_held  # noqa: PLC0415

    reason, critical = order.options["reason"], order.options["critical"]
    return publish_held(_number(order), reason, space, critical=critical, observe=observe).as_dict()


def _discard(order: JobOrder, space: Workspace, _observe: Observer) -> dict[str, Any]:
    from rowkeeper.runs.holding import discard_held  # noqa: PLC0415

    finding = discard_held(_number(order), space)
    return {"run": order.run, "outcome": finding.outcome, "note": finding.note}


def _rollback(order: JobOrder, space: Workspace, observe: Observer) -> dict[str, Any]:
    from rowkeeper.runs.rollback import rollback_run  # noqa: PLC0415

    return rollback_run(_number(order), space, observe).as_dict()


def _replay(order: JobOrder, space: Workspace, observe: Observer) -> dict[str, Any]:
    from rowkeeper.runs.replaying import replay  # noqa: PLC0415

    return replay(_number(order), space, None, observe).as_dict()


def _number(order: JobOrder) -> int:
    assert order.run is not None
    return order.run


WORKS: Mapping[str, Work] = {
    "pipeline.run": _run,
    "pipeline.verify": _verify,
    "spool.drain": _drain,
    "run.resume": _resume,
    "run.abandon": _abandon,
    "run.publish": _publish,
    "run.rollback": _rollback,
    "staging.discard": _discard,
    "quarantine.replay": _replay,
}


def action_of(order: JobOrder) -> str:
    """What permissions are asked for. To give a run up is asked for as to go on with it."""
    return "run.resume" if order.work == "run.abandon" else order.work


def resource_of(order: JobOrder) -> Resource:
    """What it is done to."""
    return of_pipeline(order.pipeline) if order.run is None else of_run(order.run, order.pipeline)
