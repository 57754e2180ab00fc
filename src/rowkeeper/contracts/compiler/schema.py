"""A model's core schema, as far as its fields can be judged apart from each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

MODEL_KEYS = {
    *("type", "cls", "schema", "config", "ref", "metadata", "serialization", "generic_origin"),
    *("custom_init", "root_model", "frozen", "revalidate_instances", "post_init", "strict", "extra_behavior"),
}
FIELDS_KEYS = {
    *("type", "fields", "computed_fields", "model_name", "extra_behavior", "ref", "metadata", "serialization"),
    *("strict", "from_attributes"),
}
FIELD_KEYS = {
    *("type", "schema", "validation_alias", "serialization_alias", "serialization_exclude", "frozen", "metadata"),
    "serialization_exclude_if",
}
CONFIG_KEYS = {
    *("title", "strict", "extra_fields_behavior", "str_strip_whitespace", "str_to_lower", "str_to_upper"),
    *("str_min_length", "str_max_length", "allow_inf_nan", "coerce_numbers_to_str", "regex_engine"),
    *("validate_default", "validate_by_name", "validate_by_alias", "populate_by_name", "loc_by_alias"),
    "from_attributes",
    *("hide_input_in_errors", "use_enum_values", "ser_json_timedelta", "ser_json_bytes", "ser_json_inf_nan"),
    *("ser_json_temporal", "val_json_bytes", "revalidate_instances", "frozen", "cache_strings"),
    *("validation_error_cause", "serialize_by_alias"),
}


class Together(Exception):  # noqa: N818 - it is no error: the rows are Pydantic's to judge
    """Why the fields of a model cannot be judged apart from each other."""


@dataclasses.dataclass(frozen=True, slots=True)
class FieldSchema:
    """A field of the model.

    Attributes:
        name: of the attribute and the column.
        schema: its core schema, without the default around it.
        whole: its core schema as the model has it, default, aliases and all.
        keys: the names under which Pydantic looks for its value, the first that is there counting.
        default: what it holds where none of them is there, unvalidated, as a list of one; empty if that cannot be said.
    """

    name: str
    schema: Mapping[str, Any]
    whole: Mapping[str, Any]
    keys: tuple[str, ...]
    default: tuple[Any, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class ModelSchema:
    """The fields, and what holds for all of them."""

    fields: tuple[FieldSchema, ...]
    config: Mapping[str, Any]
    definitions: tuple[Mapping[str, Any], ...]
    ignores_extra: bool


def model_schema(model: type[BaseModel]) -> ModelSchema:
    """The fields of a model that can be judged one by one.

    Raises Together, with the reason, if only the whole row can be judged.
    """
    schema: Mapping[str, Any] = model.__pydantic_core_schema__
    definitions: tuple[Mapping[str, Any], ...] = ()
    if schema["type"] == "definitions":
        definitions = tuple(schema["definitions"])
        schema = schema["schema"]
        if schema["type"] == "definition-ref":
            schema = next(each for each in definitions if each["ref"] == schema["schema_ref"])
    if schema["type"] != "model":
        raise Together(f"a validator of the whole model ({schema['type']})")
    _known(schema, MODEL_KEYS)
    config = schema.get("config") or {}
    _known({"type": "config", **config}, {"type", *CONFIG_KEYS})
    for key in ("custom_init", "post_init", "root_model"):
        if schema.get(key):
            raise Together(f"the model has its own {key.replace('_', ' ')}")
    inner = schema["schema"]
    if inner["type"] != "model-fields":
        raise Together(f"a validator of the whole model ({inner['type']})")
    _known(inner, FIELDS_KEYS)
    if inner.get("computed_fields"):
        raise Together("computed fields need the model itself")
    if schema.get("strict") or inner.get("strict"):
        config = {**config, "strict": True}
    extra = inner.get("extra_behavior") or schema.get("extra_behavior") or config.get("extra_fields_behavior")
    fields = tuple(_field(name, each, config) for name, each in inner["fields"].items())
    return ModelSchema(fields, config, definitions, ignores_extra=extra in (None, "ignore"))


def _known(schema: Mapping[str, Any], keys: set[str]) -> None:
    for key in schema:
        if key not in keys:
            raise Together(f"{schema['type']} with {key}, which this version does not know")


def _field(name: str, field: Mapping[str, Any], config: Mapping[str, Any]) -> FieldSchema:
    _known(field, FIELD_KEYS)
    alias = field.get("validation_alias")
    by_name = config.get("validate_by_name", config.get("populate_by_name", False))
    by_alias = config.get("validate_by_alias", True)
    if alias is None:
        keys: tuple[str, ...] = (name,)
    elif not isinstance(alias, str):
        raise Together(f"{name} is looked for under a path or several aliases")
    elif by_alias is False:
        keys = (name,)
    else:
        keys = (alias, name) if by_name else (alias,)
    schema = field["schema"]
    if schema["type"] != "default":
        return FieldSchema(name, schema, field, keys)
    return FieldSchema(name, schema["schema"], field, keys, _default(schema, config))


def _default(schema: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[Any, ...]:
    for key in schema:
        if key not in ("type", "schema", "default", "metadata", "serialization", "validate_default", "copy_default"):
            return ()  # default_factory, on_error, and whatever may come
    if schema.get("validate_default", config.get("validate_default", False)):
        return ()
    return (schema["default"],) if "default" in schema else ()


def without_nullable(schema: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """The schema within `nullable`, and whether there was one."""
    nullable = False
    while schema["type"] == "nullable" and set(schema) <= {"type", "schema", "metadata", "serialization"}:
        schema, nullable = schema["schema"], True
    return schema, nullable


def nodes(schema: Any) -> Iterator[Mapping[str, Any]]:
    """A core schema and every one inside it; neither definitions nor functions are followed."""
    if isinstance(schema, Mapping):
        if isinstance(schema.get("type"), str):
            yield schema
        for key, value in schema.items():
            if key not in ("metadata", "serialization", "default", "function"):
                yield from nodes(value)
    elif isinstance(schema, list | tuple):
        for each in schema:
            yield from nodes(each)
