"""A pipeline's protections: put together and held against its destination and gates before a row is read, then applied.

Business rules and the transform see clear values, in memory alone; what is staged, and so what gates, duplicates and
merges look at, is protected.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from rowkeeper.batch import RejectedRows, Verdict
from rowkeeper.errors import DeclarationError, ProtectionChanged, TransformError
from rowkeeper.ledger import Ledger, RunRecord
from rowkeeper.measures import Accepted, Between, Figure, Matches, Repeated, Tally, Unreferenced
from rowkeeper.pipeline import Pipeline
from rowkeeper.protocols import Choosy, Destination
from rowkeeper.quality import Gate
from rowkeeper.runs.workspace import Workspace
from rowkeeper.security.protection import Encrypt, FormatPreserving, Generalise, PartialMask
from rowkeeper.security.protection.plan import Protections, protections_of
from rowkeeper.security.protection.policy import Policy

SOURCE_KEY = "protection"  # in what the ledger holds of a run's source
CLEAR_KEY = "classified_in_the_clear"
LABELS_KEY = "classifications"  # of the columns that are classified and not protected
UNSTORABLE = "rk_unfit"  # by the destination
UNPROTECTABLE = "rk_unprotectable"
NOT_COMPARED = ("labels", "kind")  # of a column's document: they say nothing of how its values came about
WITH_FORM = (PartialMask, FormatPreserving, Generalise)


def protections_for(pipeline: Pipeline, workspace: Workspace) -> Protections:
    """What contract and policy say, held against destination and gates.

    Raises:
        DeclarationError: a column, a key or a gate cannot be with its protection.
        ProtectionMissing, PolicyUnusable: by the policy file.
    """
    policy = Policy.load(workspace.settings.policy_file)
    made = protections_of(pipeline.contract, pipeline.checker.schema, policy, workspace.keysets)
    _check_destination(pipeline, made)
    for gate in pipeline.gates:
        _check_gate(pipeline, gate, made)
    _check_freshness(pipeline, made)
    return made


def _check_destination(pipeline: Pipeline, protections: Protections) -> None:
    described = pipeline.destination.describe()
    for name in described.get("key") or ():
        method = protections.of(name)
        if method is not None and not method.joins:
            raise DeclarationError(
                f"pipeline {pipeline.name}: the key column {name} is protected by {method.word}, which does not tell "
                "rows apart",
                hint="rk.Pseudonymise() and rk.EncryptJoinable() do",
            )
    version = described.get("version")
    method = protections.of(version) if version else None
    if method is not None and not method.ordered:
        raise DeclarationError(
            f"pipeline {pipeline.name}: the version column {version} is protected by {method.word}, which keeps no "
            "order",
            hint="leave the version unprotected, or generalise it",
        )
    by = described.get("partition_by") or ""
    for name in re.findall(r"\w+", by) if isinstance(by, str) else by:
        if isinstance(protections.of(name), Encrypt):
            raise DeclarationError(
                f"pipeline {pipeline.name}: the table is partitioned by {name}, which is encrypted: each row would be "
                "a partition",
                hint="partition by another column",
            )


def _check_gate(pipeline: Pipeline, gate: Gate, protections: Protections) -> None:
    """Gates look at what is staged. Those in SQL or Polars are the user's own: they see the protected values."""
    for question in gate.questions():
        for name, makes_sense, wanted in _needs(question, protections):
            method = protections.of(name)
            if method is not None and not makes_sense:
                raise DeclarationError(
                    f"pipeline {pipeline.name}: the gate {gate.name} would look at protected values, and after "
                    f"{method.word} there is {wanted} in {name}",
                    hint="say it of the clear values: as a rule (rk.rule), or as a constraint of the contract's field",
                )


def _check_freshness(pipeline: Pipeline, protections: Protections) -> None:
    """Health shows keys and the times of events: of no column that the policy protects."""
    for rule in pipeline.freshness:
        for name in rule.columns():
            if protections.of(name) is not None:
                raise DeclarationError(
                    f"pipeline {pipeline.name}: {rule.name}: {name} is protected, and health would show its values",
                    hint="name a column that is not",
                )


def _needs(question: Any, protections: Protections) -> Iterator[tuple[str, bool, str]]:
    """By column, whether a question can be asked of its protected values, and what it would have to find there."""
    match question:
        case Repeated(columns=columns):
            for name in columns:
                method = protections.of(name)
                yield name, method is not None and method.joins, "nothing that tells rows apart"
        case Unreferenced(column=name):
            method = protections.of(name)
            yield name, method is not None and method.joins, "nothing to be found elsewhere"
        case Tally(condition=Accepted(column=name) | Between(column=name)):
            method = protections.of(name)
            yield name, method is not None and method.ordered, "no such value"
        case Tally(condition=Matches(column=name)):
            yield name, isinstance(protections.of(name), WITH_FORM), "no such form"
        case Figure(kind="min" | "max" | "newest" | "mean" | "sum", column=name):
            method = protections.of(name)
            yield name, method is not None and method.ordered, "no number or time"


def noted(protections: Protections) -> dict[str, Any]:
    """What the ledger is to hold of them, beside a run's source."""
    found: dict[str, Any] = {}
    if protections.columns:
        found[SOURCE_KEY] = protections.document()
    if protections.clear:
        found[CLEAR_KEY] = sorted(protections.clear)
        found[LABELS_KEY] = {name: list(protections.labels.get(name, ())) for name in sorted(protections.clear)}
    return found


def clear_columns(run: RunRecord) -> frozenset[str]:
    """The columns in which a run has classified values in the clear."""
    return frozenset(run.source.get(CLEAR_KEY, ()))


def check_unchanged(ledger: Ledger, pipeline: Pipeline, protections: Protections) -> None:
    """Whether the values that the table holds were protected as those to come are.

    Raises ProtectionChanged, unless the run writes the whole table anew.
    """
    target = pipeline.destination.target
    held = [run for run, rows in ledger.balance(target).items() if rows.rows]
    if not held or pipeline.destination.write_mode == "replace":
        return
    before, now = ledger.run(max(held)).source.get(SOURCE_KEY, {}), protections.document()
    for name in pipeline.checker.schema.names:
        was, to_be = _compared(before.get(name)), _compared(now.get(name))
        if was != to_be:
            raise ProtectionChanged(
                f"the column {name} of {target} was {_told(was)} by run {max(held)}, and would now be {_told(to_be)}",
                hint='load into another table, or with write="replace"; or protect it as it was',
            )


def _compared(document: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """As the ledger has it: lists for tuples."""
    kept = {name: value for name, value in (document or {}).items() if name not in NOT_COMPARED}
    return json.loads(json.dumps(kept)) if document is not None else None


def _told(document: Mapping[str, Any] | None) -> str:
    if document is None:
        return "not protected"
    given = ", ".join(f"{name} {value}" for name, value in document.items() if name != "method")
    return f"protected by {document['method']}" + (f" ({given})" if given else "")


# ---------------------------------------------------------------------------------------------- rows


def without_unfit(verdict: Verdict, protections: Protections, destination: Destination | None = None) -> Verdict:
    """Rejects the rows with a value that its protection cannot take, as it must not be staged as it is; and those with
    one that the destination's column cannot hold.
    """
    found = protections.unfit(verdict.accepted)
    errors: dict[int, list[dict[str, Any]]] = {}
    chooses: Any = destination
    if isinstance(chooses, Choosy):
        for name, (places, why) in chooses.unfit(verdict.accepted).items():
            for row in () if protections.of(name) else places:  # what is protected is stored as something else
                errors.setdefault(row, []).append({"type": UNSTORABLE, "loc": [name], "msg": why})
    if not found and not errors:
        return verdict
    for name, rows in found.items():
        method = protections.of(name)
        message = (
            f"the value cannot be protected by {method.word if method else ''}: it is too short, or of another form"
        )
        for row in rows:
            errors.setdefault(row, []).append({"type": UNPROTECTABLE, "loc": [name], "msg": message})
    rows = sorted(errors)
    index: list[Any] = verdict.accepted_index.take(pa.array(rows, pa.int64())).to_pylist()
    texts = dict(zip(verdict.rejected.positions, verdict.rejected.texts, strict=True))
    texts |= {place: json.dumps(errors[row]) for place, row in zip(index, rows, strict=True)}
    positions = sorted(texts)
    everyone: Any = pa.array(range(verdict.accepted.num_rows), pa.int64())
    keep: Any = pc.invert(pc.is_in(everyone, pa.array(rows, pa.int64())))
    return Verdict(
        verdict.accepted.filter(keep),
        verdict.accepted_index.filter(keep),
        RejectedRows(positions, [texts[position] for position in positions]),
        verdict.by_pydantic,
        verdict.rules,
    )


def check_transformed(rows: pa.Table, protections: Protections) -> None:
    """Raises TransformError for values that a transform made and that cannot be protected."""
    for name, unfit in protections.unfit(rows).items():
        method = protections.of(name)
        raise TransformError(
            f"the transform left {len(unfit):,} values in {name} that {method.word if method else ''} cannot protect",
            hint="they are too short, or of another form: let the contract refuse such values, or the transform drop "
            "their rows",
        )
