"""What decides a contract's verdicts, as text: equal text, equal contract.

The text holds the model's JSON schema, its fields and constraints, and the source of every module of the user's that
a class or validator of it stands in: a validator may call a helper beside it. So an edit of such a file makes
another definition even where the rows would be the same; that only costs a dead run its resumption. Modules of
installed packages count by name; Pydantic by its version.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import re
import sys
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, get_args

import pydantic
from pydantic import BaseModel
from pydantic.errors import PydanticUserError
from pydantic.json_schema import PydanticJsonSchemaWarning

_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")
_INSTALLED = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def definition_of(model: type[BaseModel], drift: str, rules: Iterable[str] = ()) -> str:
    """JSON text; stable between processes of the same Python."""
    found: dict[str, str] = {}
    for thing in _reached(model, set()):
        found.setdefault(*_origin(thing))
    document = {
        "pydantic": pydantic.VERSION,
        "drift": drift,
        "model": f"{model.__module__}.{model.__qualname__}",
        "schema": _json_schema(model),
        "fields": {name: _stable(info) for name, info in model.model_fields.items()},
        "computed": {name: _stable(info) for name, info in model.model_computed_fields.items()},
        "config": _stable(sorted(model.model_config.items(), key=lambda item: item[0])),
        "code": found,
        "rules": list(rules),
    }
    return json.dumps(document, sort_keys=True)


def _stable(value: object) -> str:
    return _ADDRESS.sub("", repr(value))


def _json_schema(model: type[BaseModel]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PydanticJsonSchemaWarning)  # of a default that JSON cannot show
        try:
            return _stable(sorted(model.model_json_schema(mode="validation").items(), key=lambda item: item[0]))
        except (PydanticUserError, AttributeError, LookupError, TypeError, ValueError):
            return None  # a type without a JSON schema; the other parts tell it apart


def _reached(thing: Any, seen: set[int]) -> Iterator[Any]:
    """The classes and functions that a model is made of, each once: its parents, validators, and fields' types."""
    if id(thing) in seen or thing is None:
        return
    seen.add(id(thing))
    for part in (*get_args(thing), getattr(thing, "__value__", None), getattr(thing, "__supertype__", None)):
        yield from _reached(part, seen)
    function = getattr(thing, "func", None)  # of AfterValidator and its like, of functools.partial
    if function is not None:
        yield from _reached(function, seen)
    if isinstance(thing, FunctionType):
        yield thing
        for cell in thing.__closure__ or ():
            yield from _reached(_content(cell), seen)
    elif isinstance(thing, type):
        yield from _reached_from_class(thing, seen)
    elif not isinstance(thing, str | int | float | bytes) and isinstance(type(thing), type):
        yield from _reached_from_class(type(thing), seen)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _reached_from_class(kind: type, seen: set[int]) -> Iterator[Any]:
    for parent in kind.__mro__:
        if not _is_installed(parent.__module__):
            yield parent
            for value in vars(parent).values():
                inner = getattr(value, "wrapped", value)  # Pydantic's proxy of a decorated method
                inner = getattr(inner, "__func__", inner)
                if isinstance(inner, FunctionType):
                    yield from _reached(inner, seen)
    fields = getattr(kind, "__pydantic_fields__", None) or {}
    for info in fields.values():
        yield from _reached(info.annotation, seen)
        for constraint in info.metadata:
            yield from _reached(constraint, seen)
        yield from _reached(info.default_factory, seen)
    if not fields and not _is_installed(kind.__module__):
        for annotation in getattr(kind, "__annotations__", {}).values():
            yield from _reached(annotation, seen)


def _origin(thing: Any) -> tuple[str, str]:
    """Where a class or function comes from, and a hash of its text (of its module's, where there is one)."""
    name = thing.__module__ or "?"
    if _is_installed(name):
        return name, "installed"
    module = sys.modules.get(name)
    text = _module_text(module) if module is not None else None
    if text is not None:
        return name, _hash(text)
    return f"{name}.{thing.__qualname__}", _hash(_own_text(thing))


def _own_text(thing: Any) -> str:
    """The text of something whose module has no file, as typed into an interpreter or made by a program."""
    try:
        return inspect.getsource(thing)
    except (OSError, TypeError):
        if isinstance(thing, FunctionType):
            return _stable((_code(thing.__code__), thing.__defaults__, [_content(c) for c in thing.__closure__ or ()]))
        return _stable(sorted(vars(thing).get("__annotations__", {}).items()))


def _code(code: CodeType) -> tuple[Any, ...]:
    return code.co_code.hex(), code.co_names, tuple(map(_constant, code.co_consts))


def _constant(value: Any) -> Any:
    if isinstance(value, CodeType):
        return _code(value)
    return sorted(map(repr, value)) if isinstance(value, frozenset) else value  # a set has no order of its own


@functools.cache
def _is_installed(name: str) -> bool:
    if name in ("builtins", "typing") or name in sys.stdlib_module_names:
        return True
    file = getattr(sys.modules.get(name), "__file__", None)
    return file is not None and any(Path(file).is_relative_to(folder) for folder in _INSTALLED if folder)


def _module_text(module: ModuleType) -> str | None:
    try:
        return inspect.getsource(module)
    except (OSError, TypeError):
        return None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
