"""Under which names a model looks for its values, and what of a source it is shown."""

from __future__ import annotations

from pydantic import AliasChoices, AliasPath, BaseModel
from pydantic.fields import FieldInfo

from rowkeeper.protocols import Columns, DriftPolicy


def columns_of(model: type[BaseModel], drift: DriftPolicy) -> Columns:
    """What the contract expects of a source's columns.

    A model with code that runs before its fields are checked may make values of columns that it does not declare,
    so nothing is required of a source on its behalf, and with drift="ignore" it is shown every column (`extra`
    says "evolve" to the source: leave it in); what it does not declare is dropped after the check. The same holds
    for extra="allow". With drift="reject" an undeclared column fails the run even then.
    """
    groups = {name: names_of(model, name, info) for name, info in model.model_fields.items()}
    before = runs_code_before(model)
    return Columns(
        known=frozenset().union(*groups.values()),
        required=()
        if before
        else tuple(group for name, group in groups.items() if group and model.model_fields[name].is_required()),
        extra="evolve" if drift == "ignore" and sees_unknown(model) else drift,
    )


def sees_unknown(model: type[BaseModel]) -> bool:
    """Whether a column that the model does not declare can make a difference to it, other than being forbidden."""
    return model.model_config.get("extra") == "allow" or runs_code_before(model)


def runs_code_before(model: type[BaseModel]) -> bool:
    """Whether the model has code of its own that is given the raw row."""
    validators = model.__pydantic_decorators__.model_validators.values()
    own_schema = model.__dict__.get("__get_pydantic_core_schema__") is not None
    own_init = bool(getattr(model, "__pydantic_custom_init__", False))
    return own_schema or own_init or any(each.info.mode in ("before", "wrap") for each in validators)


def names_of(model: type[BaseModel], name: str, info: FieldInfo) -> frozenset[str]:
    """The names of the source's columns that a field may be filled from."""
    config = model.model_config
    by_alias = config.get("validate_by_alias", True)
    by_name = config.get("validate_by_name", False) or config.get("populate_by_name", False)
    aliases = _names_in(info.validation_alias if info.validation_alias is not None else info.alias)
    if not aliases:
        return frozenset({name})
    return frozenset((aliases if by_alias else set()) | ({name} if by_name or not by_alias else set()))


def _names_in(alias: str | AliasPath | AliasChoices | None) -> set[str]:
    """The top-level names of an alias: the first step of each path."""
    match alias:
        case None:
            return set()
        case str():
            return {alias}
        case AliasPath():
            return {str(alias.path[0])}
        case AliasChoices():
            return set().union(*(_names_in(choice) for choice in alias.choices))
