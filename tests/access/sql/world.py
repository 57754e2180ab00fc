"""A state folder with tables to be asked of, and permissions of a few lines that govern them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel

import rowkeeper as rk
from rowkeeper.access import Access, Column, Decision, Resource, Sight, TableView
from rowkeeper.caller import Caller, CallerKind, acting
from rowkeeper.runs.querying import QueryAnswer, run_query
from rowkeeper.runs.workspace import Workspace

CANARY = "CANARY"  # in every value that the reader must not see, and in no other
NUMBERS = (70_719, 70_723, 70_729)  # salaries of hidden rows, and pins: canaries among numbers
ANN = Caller(CallerKind.USER, "ann", roles=frozenset({"analyst"}), address="192.0.2.7", session="s1")
STRANGER = Caller(CallerKind.USER, "sam")
CITIES = ("Oslo", "Lima", "Rome")
STATUSES = ("paid", "open", "lost")


class Person(BaseModel):
    id: int
    name: str
    age: int
    city: str
    salary: int
    born: date
    tags: list[str]


class Order(BaseModel):
    id: int
    person: int
    amount: float
    placed: datetime
    status: str


class Client(BaseModel):
    """Rows of region EU are for the reader; their mail is masked, their number refused."""

    id: int
    name: str
    region: str
    city: str
    age: int
    mail: Annotated[str, rk.Classified("pii.email")]
    ssn: Annotated[str, rk.Classified("pii.ssn")]
    pin: Annotated[int, rk.Classified("pii.pin")]
    phone: Annotated[str, rk.Classified("pii.phone"), rk.Pseudonymise()]
    notes: Annotated[list[str], rk.Classified("pii.notes")]


class Paid(BaseModel):
    """Sorted by what is masked."""

    id: int
    pay: Annotated[int, rk.Classified("pay")]


class Vault(BaseModel):
    """For nobody but the owner."""

    id: int
    word: str


PEOPLE = [
    {
        "id": number,
        "name": ("O'Hara", "tab\there", "back\\slash", "Ada Lovelace", "Grace")[number % 5],
        "age": 20 + (number * 7) % 50,
        "city": CITIES[number % 3],
        "salary": 3000 + (number * 977) % 5000,
        "born": f"{1960 + number}-0{1 + number % 9}-11",
        "tags": ["a", "b", "c"][: number % 4],
    }
    for number in range(1, 31)
]
ORDERS = [
    {
        "id": number,
        "person": 1 + number % 17,
        "amount": (number * 7.25) % 50,
        "placed": f"2026-0{1 + number % 6}-1{number % 10}T10:0{number % 6}:00Z",
        "status": STATUSES[number % 3],
    }
    for number in range(1, 61)
]
CLIENTS = [
    {
        "id": number,
        "name": f"client{number}" if number % 3 else f"{CANARY}_ROW_{number}",
        "region": "EU" if number % 3 else f"{CANARY}_REGION",
        "city": CITIES[number % 2] if number % 3 else f"{CANARY}_CITY",
        "age": 20 + number if number % 3 else NUMBERS[number % 2],
        "mail": f"{CANARY}_{number}@example.org",
        "ssn": f"{CANARY}-{number:03}",
        "pin": NUMBERS[number % 3],
        "phone": f"{CANARY}+47{number}",
        "notes": [f"{CANARY}_note_{number}"] * (number % 4),
    }
    for number in range(1, 31)
]
# The same for the reader, and another in all that is hidden: values, their order and lengths, how many rows.
CLIENTS_TWIN = [
    {**row, "mail": f"x{row['id']}", "ssn": "0", "pin": 1000 - row["id"], "phone": "1", "notes": []}
    for row in CLIENTS
    if row["region"] == "EU"
] + [
    {**CLIENTS[2], "id": 90 + number, "name": str(number), "region": "US", "city": "9", "age": 0} for number in range(3)
]
PAID = [{"id": number, "pay": (number * 7919) % 1009} for number in range(1, 201)]
VAULT = [{"id": 1, "word": f"{CANARY}_VAULT"}]
TABLES: Mapping[str, tuple[type[BaseModel], list[dict[str, Any]], dict[str, Any]]] = {
    "people": (Person, PEOPLE, {"order_by": ["id"], "low_cardinality": ["city"]}),
    "orders": (Order, ORDERS, {"order_by": ["id"]}),
    "clients": (Client, CLIENTS, {"order_by": ["id"], "low_cardinality": ["city", "name"]}),
    "paid": (Paid, PAID, {"order_by": ["pay"]}),
    "vault": (Vault, VAULT, {"order_by": ["id"]}),
    "clients_twin": (Client, CLIENTS_TWIN, {"order_by": ["id"], "low_cardinality": ["city", "name"]}),
    "paid_twin": (Paid, [{**row, "pay": -row["pay"]} for row in PAID], {"order_by": ["pay"]}),
}
SIGHTS = {"pii.email": Sight.MASKED, "pii.pin": Sight.MASKED, "pii.notes": Sight.MASKED, "pay": Sight.MASKED}
FILTERS = {f"default.{name}": "region = 'EU'" for name in ("clients", "clients_twin")}


class Analysts:
    """Analysts see four tables, by the labels of their columns; others see none."""

    def decide(self, caller: Caller, action: str, resource: Resource) -> Decision:
        return Decision(False)

    def view(self, caller: Caller, table: str, columns: Sequence[Column]) -> TableView | None:
        if "analyst" not in caller.roles or table not in {f"default.{name}" for name in TABLES if name != "vault"}:
            return None
        if table == "default.orders" and caller.purpose == "forbidden":
            return None
        sights = {column.name: self._sight(column) for column in columns}
        return TableView(table, sights, FILTERS.get(table))

    @staticmethod
    def _sight(column: Column) -> Sight:
        if not column.labels:
            return Sight.CLEAR
        if column.protected:
            return Sight.MASKED
        return next((SIGHTS[label] for label in column.labels if label in SIGHTS), Sight.REFUSED)


@dataclasses.dataclass(frozen=True)
class World:
    """The state folder, opened."""

    space: Workspace

    def ask(self, sql: str, caller: Caller = ANN, **given: Any) -> QueryAnswer:
        """As the reader."""
        with acting(caller):
            return run_query(self.space, sql, **given)

    def own(self, sql: str) -> QueryAnswer:
        """As the owner of the state folder."""
        return run_query(self.space, sql, rows_max=None)


@contextmanager
def made(folder: Path) -> Iterator[World]:
    """Loads the tables, and opens the state folder for queries."""
    settings = rk.Settings(home=folder / "state", key_file=folder / "the.key", engine_idle_seconds=30)
    with rk.Workspace.open(settings) as space:
        for name, (contract, rows, layout) in TABLES.items():
            file = folder / f"{name}.jsonl"
            file.write_text("".join(json.dumps(row) + "\n" for row in rows))
            pipeline = rk.Pipeline(
                name,
                source=rk.sources.files(str(file)),
                contract=contract,
                destination=rk.destinations.clickhouse(name, **layout),
            )
            report = rk.run(pipeline, space)
            assert report.account.committed == len(rows), (name, report)
        yield World(dataclasses.replace(space, access=Access(Analysts(), space.ledger.audit)))
