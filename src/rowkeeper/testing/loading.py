"""Pipelines from local files into a destination that is tested, and what can be seen of them afterwards."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from rowkeeper.testing.running import Ended, Runner
from rowkeeper.testing.sources import ACCOUNT, Fault

Row = Mapping[str, Any]

PIPELINE = """
import datetime
import decimal
import uuid
from typing import Annotated

import rowkeeper as rk
from pydantic import BaseModel, Field

class Row(BaseModel):
    id: int
    name: str | None = None
    amount: Annotated[decimal.Decimal, Field(max_digits=30, decimal_places=6)] | None = None
    ratio: float | None = None
    moment: datetime.datetime | None = None
    day: datetime.date | None = None
    open: bool | None = None
    code: uuid.UUID | None = None
{field}
{name} = rk.Pipeline(
    "{name}",
    source=rk.sources.files("{name}/*.ndjson", on_change="reload"),
    contract=Row,
    destination={destination},
{more})
"""
KINDS: Mapping[str, type] = {
    "id": int,
    "name": str,
    "amount": decimal.Decimal,
    "ratio": float,
    "moment": datetime.datetime,
    "day": datetime.date,
    "open": bool,
    "code": uuid.UUID,
}
OPEN = ("staging", "prepared", "interrupted")


class DestinationRig(Protocol):
    """A destination to be tested, whose content can be read by other means than Rowkeeper's."""

    @property
    def runner(self) -> Runner:
        """Runs the commands."""
        ...

    def declare(self, name: str, options: str = "") -> str:
        """A Python expression for the destination of this name, which nothing has been written to yet.

        Args:
            options: further arguments of its constructor, such as `write="replace"`; empty for none.
        """
        ...

    def rows(self, name: str) -> Sequence[Row]:
        """What it holds now, as a reader finds it, every copy of a row. Values are Python's own, or as text."""
        ...

    def damage(self, name: str) -> None:
        """Changes or removes something of what is stored, as an accident would. Asked only where `verifies` is set."""
        ...

    def faults(self) -> Sequence[Fault]:
        """What can go wrong on the way to it, beyond this machine; none for a destination that is on it."""
        ...


@dataclasses.dataclass(frozen=True)
class Bench:
    """One pipeline from a folder of files, by a name of its own.

    Attributes:
        verifies: whether the destination can be verified.
    """

    rig: DestinationRig
    name: str
    verifies: bool = True

    def write(self, options: str = "", more: str = "", field: str = "") -> None:
        """Writes the pipeline file.

        Args:
            options: of the destination's constructor.
            more: lines of further arguments of the pipeline.
            field: lines of further fields of the contract.
        """
        text = PIPELINE.format(name=self.name, destination=self.rig.declare(self.name, options), more=more, field=field)
        (self.rig.runner.folder / f"{self.name}.py").write_text(text)

    def offer(self, rows: Sequence[Row], file: str = "rows") -> None:
        """Makes these rows what a file of its source holds."""
        path = self.rig.runner.folder / self.name / f"{file}.ndjson"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps(row, default=str) + "\n" for row in rows))

    def run(self, failpoints: str = "") -> Ended:
        """Runs the pipeline."""
        return self.rig.runner.run("run", f"{self.name}.py", "--json", failpoints=failpoints)

    def done(self) -> dict[str, int]:
        """Runs to the end, and returns the account, which must balance."""
        return self.balanced(self.run())

    @staticmethod
    def balanced(ended: Ended) -> dict[str, int]:
        """The account of a command that succeeded."""
        assert ended.status == 0, ended
        account: dict[str, int] = ended.document["account"]
        assert account["read"] == sum(account[each] for each in ACCOUNT[1:]), account
        return account

    def held(self) -> list[Row]:
        """What the destination holds, each value of its own type, in the order of ids."""
        rows = [{name: value_of(name, value) for name, value in row.items()} for row in self.rig.rows(self.name)]
        return sorted(rows, key=lambda row: int(row["id"]))

    @property
    def ids(self) -> list[int]:
        """Of the rows that it holds, every copy."""
        return [int(row["id"]) for row in self.held()]

    def verified(self) -> Ended:
        """`rowkeeper verify`."""
        return self.rig.runner.run("verify", f"{self.name}.py", "--json")

    def published(self) -> list[dict[str, Any]]:
        """The runs that count, newest first."""
        return [each for each in self._runs() if each["status"] == "published"]

    def left_behind(self) -> dict[str, Any]:
        """The rows, what verify says of them, and what all published runs together account for."""
        runs = self._runs()
        published = [each["account"] for each in runs if each["status"] == "published"]
        sound = True
        if self.verifies:
            verified = self.verified()
            assert verified.status == 0, verified
            sound = verified.document["sound"]
        return {
            "rows": self.held(),
            "sound": sound,
            "account": {name: sum(each[name] for each in published) for name in ACCOUNT},
            "open": [each["run"] for each in runs if each["status"] in OPEN],
        }

    def _runs(self) -> list[dict[str, Any]]:
        found = self.rig.runner.run("runs", "--pipeline", self.name, "--limit", "1000", "--json")
        assert found.status == 0, found
        runs: list[dict[str, Any]] = found.document["runs"]
        return runs


def some_rows(count: int, first: int = 0) -> list[dict[str, Any]]:
    """Rows that the contract accepts."""
    noon = datetime.datetime(2026, 3, 29, 12, tzinfo=datetime.UTC)
    return [
        {
            "id": number,
            "name": f"name {number}",
            "amount": f"{number}.25",
            "ratio": number / 8,
            "moment": (noon + datetime.timedelta(hours=number)).isoformat(),
            "day": (noon.date() + datetime.timedelta(days=number)).isoformat(),
            "open": number % 2 == 0,
            "code": str(uuid.UUID(int=number)),
        }
        for number in range(first, first + count)
    ]


def unusual_rows() -> list[dict[str, Any]]:
    """The ends of integers, decimals, floats and times; null and the empty text; letters of all kinds."""
    empty = dict.fromkeys(KINDS)
    return [
        {
            **empty,
            "id": 2**63 - 1,
            "name": "Ærø 東京 \U0001f6a2 \"quoted\", 'so'; two\nlines\r\nand a\ttab\\n",
            "amount": "123456789012345678901234.123456",
            "ratio": 0.1 + 0.2,
            "moment": "2299-12-31T23:59:59.999999Z",
            "day": "2299-12-31",
            "open": False,
            "code": "ffffffff-ffff-ffff-ffff-ffffffffffff",
        },
        {
            **empty,
            "id": -(2**63),
            "name": "",
            "amount": "-0.000001",
            "ratio": -1.7976931348623157e308,
            "moment": "1900-01-01T00:00:00.000001Z",
            "day": "1900-01-01",
        },
        {**empty, "id": 0},
        {**empty, "id": 1, "name": "x" * 50_000, "amount": "100", "ratio": 5e-324, "moment": "2026-10-25T00:30:00Z"},
        {**empty, "id": 2, "name": "null", "amount": "0", "ratio": 1e22},
        {**empty, "id": 3, "name": "NULL \\N NaN 007 =1+1 ", "ratio": 0.0},
    ]


def expected(rows: Sequence[Row]) -> list[Row]:
    """Rows as they were offered, each value of its own type, in the order of ids."""
    typed = [{name: value_of(name, row.get(name)) for name in KINDS} for row in rows]
    return sorted(typed, key=lambda row: int(row["id"]))


def value_of(name: str, given: Any) -> Any:
    """A value of a column, from what it is or from a text of it: ISO 8601, decimal digits, `true` and `false`."""
    kind = KINDS.get(name)
    if given is None or kind is None:
        return given
    if kind is datetime.datetime:
        moment = datetime.datetime.fromisoformat(given) if isinstance(given, str) else given
        return moment.astimezone(datetime.UTC) if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
    if isinstance(given, kind):
        return given
    return _READ[kind](given)


def _boolean(given: Any) -> bool:
    assert given in ("true", "false", 0, 1), given
    return given in ("true", 1)


_READ: Mapping[type, Callable[[Any], Any]] = {
    int: int,
    str: str,
    float: float,
    bool: _boolean,
    decimal.Decimal: lambda given: decimal.Decimal(str(given)),
    datetime.date: datetime.date.fromisoformat,
    uuid.UUID: lambda given: uuid.UUID(bytes=given) if isinstance(given, bytes) else uuid.UUID(str(given)),
}
