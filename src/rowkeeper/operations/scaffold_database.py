"""`rowkeeper init URL`: a file with a pipeline for each table of a database, contracts from what it says of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

from rowkeeper.batch import InputMode
from rowkeeper.configuration.reference import parse
from rowkeeper.contracts import InferredContract, infer_contract
from rowkeeper.databases.place import Place, is_database, place_of
from rowkeeper.operations.scaffold import model_of, name_of, write_pipeline
from rowkeeper.protocols import DiskKeys, Site
from rowkeeper.resilience.calls import Calls
from rowkeeper.runs.reaching import gateway_of
from rowkeeper.security.tls import default_tls
from rowkeeper.settings import Settings
from rowkeeper.sources.database.sampling import Described, described

HEAD = '''"""Loads tables of {place} into ClickHouse. Made by `rowkeeper init`: tighten the contracts."""

{imports}

import rowkeeper as rk

DATABASE = "{url}"
'''
PIPELINE = """

{contract}

{name} = rk.Pipeline(
    "{name}",
    source=rk.sources.database(DATABASE, table={table}{password}),
    contract={model},
    destination=rk.destinations.clickhouse("{name}", order_by={order_by}),
)
"""

__all__ = ["Scaffolds", "is_database", "scaffold_database"]


@dataclasses.dataclass(frozen=True, slots=True)
class Scaffolds:
    """What was written, and where: by pipeline, how many fields its contract has."""

    path: Path
    pipelines: dict[str, int]


def scaffold_database(
    url: str, pattern: str, password: str | None, output: Path | None, settings: Settings, *, force: bool = False
) -> Scaffolds:
    """Writes a pipeline file that loads each table as it stands.

    Args:
        pattern: `schema.name`, in which * stands for anything.
        password: a reference.

    Raises:
        SourceError: the database cannot be read, or has no such table.
        SecretLiteral: a password stands where a reference to one belongs.
        ConfigurationError: there is a file of that name already, or no room for one.
    """
    place = place_of(url, "rowkeeper init")
    if password is not None:
        parse(password, "--password")
    site = Site(
        Path.cwd(), _no_keys, "", calls=Calls(), way_out=gateway_of(settings), default_tls=default_tls(settings)
    )
    tables = described(url, pattern, password, site)
    names = _names(tables)
    contracts = {name: infer_contract(each.columns, InputMode.PYTHON, model_of(name)) for name, each in names.items()}
    text = HEAD.format(place=place.name, imports=_imports(contracts.values()), url=url)
    for name, each in names.items():
        text += PIPELINE.format(
            contract=contracts[name].source.rstrip() + "\n",
            name=name,
            table=_quoted(each.table),
            password="" if password is None else f", password={_quoted(password)}",
            model=model_of(name),
            order_by=_order(each, contracts[name]),
        )
    output = output or Path(f"{_file_name(place)}.py")
    write_pipeline(output, text, force=force)
    return Scaffolds(output, {name: contracts[name].fields for name in names})


def _names(tables: Sequence[Described]) -> dict[str, Described]:
    """A name for each table's pipeline: the table's own; with its schema, or a number, where that is taken."""
    found: dict[str, Described] = {}
    for each in tables:
        short, long = name_of(each.table.rpartition(".")[2]), name_of(each.table)
        name = short if short not in found else long
        while name in found:
            name += "_"
        found[name] = each
    return found


def _imports(contracts: Iterable[InferredContract]) -> str:
    """The import lines of all, each module's once, the standard library's first."""
    names: dict[str, set[str]] = {}
    for line in (line for each in contracts for line in each.imports):
        module, _, imported = line.removeprefix("from ").partition(" import ")
        names.setdefault(module, set()).update(imported.split(", "))
    modules = sorted(names, key=lambda module: (module == "pydantic", module))
    return "\n".join(f"from {module} import {', '.join(sorted(names[module]))}" for module in modules)


def _order(table: Described, contract: InferredContract) -> list[str]:
    """The columns of the key, if the contract has them as they are; else the first that can be sorted by."""
    is_there = table.key and set(table.key) <= set(contract.required)
    return list(table.key if is_there else contract.required[:2])


def _file_name(place: Place) -> str:
    return name_of(Path(place.database).stem) + "_tables"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _no_keys() -> DiskKeys:
    raise AssertionError("no engine is started here")
