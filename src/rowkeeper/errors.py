"""What can go wrong, drawn whole.

    FrameworkError                 the base: what happened, to what, and what to do next
    ├── ConfigurationError         a setting, a pipeline file or a declaration is wrong
    │   ├── ContractError          the contract cannot be turned into columns
    │   └── LayoutError            an existing table has another layout than the contract
    ├── PipelineError              a run could not go on
    │   ├── SourceError            what was to be read cannot be read
    │   ├── TransformError         the pipeline's own function failed
    │   └── RunInterrupted         the person at the keyboard stopped the run
    ├── DatabaseError              the engine, a destination or the ledger refused
    │   ├── EngineDied             the embedded ClickHouse went away in mid-work
    │   ├── DiskFull               there was no room left to write
    │   └── StateError             the state folder cannot be used as it is
    ├── LeaseError                 somebody else holds, or took over, the destination
    ├── ValidationError            rows that a person asked to be good are not
    ├── IntegrityError             what is stored is not what was recorded
    ├── RetryError                 trying again did not help
    └── SecurityError              a key, a permission or a seal is wrong

No message holds a secret or a classified value: messages are put together from names, numbers and
places, never from the content of a row.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType


class Category(enum.StrEnum):
    """The kind of fault, for logs and for whoever is on call."""

    CONFIGURATION = "configuration"
    NETWORK = "network"
    DATABASE = "database"
    PROCESSING = "processing"
    SECURITY = "security"
    INTEGRITY = "integrity"


class FrameworkError(Exception):
    """The base of everything that Rowkeeper raises on purpose.

    Args:
        what: one sentence, lower case, without a full stop: what happened and to what.
        hint: what the person reading it should do next.
        context: small facts for logs (names, numbers, places); never values of rows.
    """

    category: Category = Category.PROCESSING
    retryable: bool = False

    def __init__(self, what: str, *, hint: str = "", context: Mapping[str, object] | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.context: Mapping[str, object] = MappingProxyType(dict(context or {}))

    def __str__(self) -> str:
        return self.what


class ConfigurationError(FrameworkError):
    """A setting, a pipeline file or a declaration is wrong; nothing was started."""

    category = Category.CONFIGURATION


class ContractError(ConfigurationError):
    """The contract cannot be turned into columns."""


class LayoutError(ConfigurationError):
    """An existing table has another layout than the contract and the destination ask for."""


class PipelineError(FrameworkError):
    """A run could not go on."""


class SourceError(PipelineError):
    """What was to be read cannot be read: missing, truncated, wrongly encoded, changed meanwhile."""


class TransformError(PipelineError):
    """The pipeline's own transform raised, or made something that the destination cannot hold."""


class GateError(PipelineError):
    """A quality gate refused what a run has staged: nothing was published, the staged rows are kept."""


class RunInterrupted(PipelineError):  # noqa: N818 - it is no fault, and reads as what it is
    """The run was stopped by a signal; what was staged is kept, the next run goes on from there."""

    retryable = True


class DatabaseError(FrameworkError):
    """The engine, a destination or the ledger refused."""

    category = Category.DATABASE


class EngineDied(DatabaseError):  # noqa: N818 - reads as what happened
    """The embedded ClickHouse went away in mid-work. Whether the last statement took effect is unknown."""

    retryable = True


class DiskFull(DatabaseError):  # noqa: N818 - reads as what happened
    """There was no room left to write."""

    retryable = True


class StateError(DatabaseError):
    """The state folder cannot be used as it is: not writable, too open, or made by a newer version."""

    category = Category.CONFIGURATION


class LeaseError(FrameworkError):
    """Somebody else holds the destination, or took it over meanwhile."""

    category = Category.DATABASE
    retryable = True


class ValidationError(FrameworkError):
    """Rows that a person asked to be good are not."""


class IntegrityError(FrameworkError):
    """What is stored is not what was recorded."""

    category = Category.INTEGRITY


class RetryError(FrameworkError):
    """Trying again did not help; carries the last error as its cause."""

    category = Category.NETWORK


class SecurityError(FrameworkError):
    """A key, a permission or a seal is wrong."""

    category = Category.SECURITY
