"""`rowkeeper init`: a pipeline file to start from, its contract inferred from a sample file."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

from rowkeeper.contracts import infer_contract
from rowkeeper.errors import ConfigurationError
from rowkeeper.sources import sample

TEMPLATE = '''"""Loads {file_name} into ClickHouse. Made by `rowkeeper init`: tighten the contract."""

{imports}

import rowkeeper as rk


{contract}

{name} = rk.Pipeline(
    "{name}",
    source={source},
    contract={model},
    destination=rk.destinations.clickhouse("{name}", order_by={order_by}),
)
'''


@dataclasses.dataclass(frozen=True, slots=True)
class Scaffold:
    """What was written, and where."""

    path: Path
    pipeline: str
    fields: int


def scaffold(path: Path, output: Path | None, *, force: bool = False) -> Scaffold:
    """Writes a pipeline file that loads this sample as it stands.

    Raises:
        SourceError: the sample cannot be read.
        ConfigurationError: there is a file of that name already, or no room for one.
    """
    seen = sample(path)
    name = name_of(path.name.split(".")[0])  # flights.csv.zip is flights
    model = model_of(name)
    inferred = infer_contract(seen.table, seen.mode, model)
    output = output or Path(f"{name}.py")
    text = TEMPLATE.format(
        file_name=path.name,
        imports="\n".join(inferred.imports),
        contract=inferred.source.rstrip() + "\n",
        name=name,
        model=model,
        source=seen.declaration(os.path.relpath(path, output.absolute().parent)),
        order_by=list(inferred.required[:2]),
    )
    write_pipeline(output, text, force=force)
    return Scaffold(output, name, inferred.fields)


def write_pipeline(output: Path, text: str, *, force: bool) -> None:
    """Writes the file. Raises ConfigurationError if there is one of that name already, or no room for one."""
    try:
        with output.open("w" if force else "x") as file:
            file.write(text)
    except FileExistsError as error:
        raise ConfigurationError(
            f"{output} is there already", hint="--output NAME.py writes another file, --force writes over it"
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"{output} cannot be written: {error.strerror}", hint="--output NAME.py writes elsewhere"
        ) from error


def name_of(text: str) -> str:
    """A name that is an identifier in Python and ClickHouse alike."""
    name = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_").lower()
    return name if name[:1].isalpha() else f"table_{name}".rstrip("_")


def model_of(name: str) -> str:
    """The name of a class for rows of this name."""
    return "".join(part.capitalize() for part in name.split("_"))
