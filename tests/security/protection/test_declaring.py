"""What contract and policy say together, and what is refused before a row is read."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from pathlib import Path
from typing import Annotated, NamedTuple

import pytest
from pydantic import BaseModel, Field, computed_field
from typing_extensions import TypedDict

import rowkeeper as rk
from rowkeeper.contracts import Contract
from rowkeeper.errors import DeclarationError, PolicyUnusable, ProtectionMissing
from rowkeeper.runs.protecting import protections_for
from rowkeeper.security.protection.markers import marked_fields
from rowkeeper.security.protection.plan import Protections, protections_of
from rowkeeper.security.protection.policy import Policy, covers
from rowkeeper.settings import Settings
from tests.security.protection.keysets import fresh

KEYSETS = fresh()


def plan(model: type[BaseModel], policy: str = "") -> Protections:
    import tomllib

    return protections_of(model, Contract(model).schema, Policy.of(tomllib.loads(policy), Path("p.toml")), KEYSETS)


class Pair(NamedTuple):
    left: Annotated[str, rk.Classified("in.tuple")]
    right: int


class Typed(TypedDict):
    key: Annotated[str, rk.Classified("in.dict")]


@dataclasses.dataclass
class Plain:
    value: Annotated[int, rk.Classified("in.dataclass")]


class Inner(BaseModel):
    email: Annotated[str, rk.Classified("in.model")]


class Everywhere(BaseModel):
    plain: int
    direct: Annotated[str, rk.Classified("direct")]
    optional: Annotated[str, rk.Classified("optional"), rk.Redact()] | None = None
    by_default: Annotated[str, rk.Classified("by.default")] = Field(default="x", max_length=9)
    listed: list[Annotated[str, rk.Classified("in.list")]]
    mapped: dict[str, Annotated[int, rk.Classified("in.map")]]
    inner: Inner
    inners: list[Inner | None]
    pair: Pair
    typed: Typed
    dataclass: Plain
    protected: Annotated[str, rk.Redact()]

    @computed_field
    def computed(self) -> Annotated[str, rk.Classified("computed")]:
        return self.direct


def test_markers_are_found_wherever_they_stand():
    """Beside a field, in an optional, in a list, a map, another model, a computed field."""
    found = {name: each.labels for name, each in marked_fields(Everywhere).items()}
    assert found == {
        "direct": ("direct",),
        "optional": ("optional",),
        "by_default": ("by.default",),
        "listed": ("in.list",),
        "mapped": ("in.map",),
        "inner": ("in.model",),
        "inners": ("in.model",),
        "pair": ("in.tuple",),
        "typed": ("in.dict",),
        "dataclass": ("in.dataclass",),
        "protected": (),
        "computed": ("computed",),
    }
    made = plan(Everywhere)
    assert made.classified == found.keys()
    assert made.clear == found.keys() - {"optional", "protected"}


def test_the_columns_follow_from_the_protections():
    """Types as they are stored; what was optional is so still."""

    class Row(BaseModel):
        number: Annotated[int | None, rk.Encrypt()]
        day: Annotated[rk_date, rk.Generalise(date="month")]
        many: Annotated[list[str], rk.Redact()]
        kind: Annotated[Kind, rk.Pseudonymise()]

    schema = plan(Row).stored(Contract(Row).schema)
    assert [str(field.type) for field in schema] == ["string", "date32[day]", "string", "string"]
    assert [field.nullable for field in schema] == [True, False, False, False]
    assert not any(field.metadata for field in schema)


import enum  # noqa: E402
from datetime import date as rk_date  # noqa: E402


class Kind(enum.Enum):
    A = "a"
    B = "b"


@pytest.mark.parametrize(
    ("annotation", "says"),
    [
        (Annotated[list[str], rk.Encrypt()], "several values"),
        (Annotated[str, rk.Redact(), rk.Encrypt()], "two protections"),
        (list[Annotated[str, rk.Encrypt()]], "as a whole"),
        (Annotated[str, rk.Redact], "not called"),
        (Annotated[str, rk.Generalise(bucket=10)], "for numbers"),
        (Annotated[bool, rk.Pseudonymise()], "two values"),
        (Annotated[str, rk.Classified("my own words"), rk.Encrypt()], "cannot name a key's purpose"),
    ],
)
def test_what_cannot_be_protected_like_that_is_refused(annotation, says: str):
    """With the field's name, and what would do."""

    class Row(BaseModel):
        field: annotation

    with pytest.raises(DeclarationError, match=says) as error:
        plan(Row)
    assert "field" in error.value.what
    assert error.value.hint


def test_a_classification_names_a_kind_of_data():
    """An empty one says nothing."""
    with pytest.raises(DeclarationError):
        rk.Classified(" ")


# ----------------------------------------------------------------------------------------------- policy


class Person(BaseModel):
    email: Annotated[str, rk.Classified("pii.email")]
    name: Annotated[str, rk.Classified("pii.name"), rk.PartialMask()]
    wage: Annotated[int, rk.Classified("secret")]
    city: str


def test_a_classification_covers_what_stands_below_it():
    """By whole words between dots."""
    assert covers("pii", "pii")
    assert covers("pii", "pii.email.work")
    assert not covers("pii", "piimento")
    assert not covers("pii.email", "pii")


def test_the_nearest_entry_of_the_policy_is_taken():
    """`pii.email` before `pii`; the contract's own word before either; purposes are labels unless they are named."""
    made = plan(
        Person,
        """
        [[protect]]
        classification = "pii"
        method = "redact"
        [[protect]]
        classification = "pii.email"
        method = "pseudonymise"
        purpose = "people"
        [[protect]]
        classification = "secret"
        method = "generalise"
        bucket = 1000
        """,
    )
    assert {each.name: (each.method, each.use.purpose) for each in made.columns} == {
        "email": (rk.Pseudonymise(purpose="people"), "people"),
        "name": (rk.PartialMask(), ""),
        "wage": (rk.Generalise(bucket=1000), ""),
    }


@pytest.mark.parametrize(
    ("required", "names"), [("true", "email"), ('["secret"]', "wage"), ('["pii"]', "email"), ('["other"]', "")]
)
def test_a_policy_can_ask_for_a_protection(required: str, names: str):
    """Of every classification, or of some with all below them."""
    policy = f"require_protection = {required}"
    if not names:
        assert plan(Person, policy).clear == {"email", "wage"}
        return
    with pytest.raises(ProtectionMissing, match=f"Person.{names}"):
        plan(Person, policy)


def test_a_policy_can_have_the_last_word():
    """What it enforces cannot be weakened in a contract; the same may be said there."""
    entry = '[[protect]]\nclassification = "pii.name"\nenforce = true\nmethod = '
    with pytest.raises(DeclarationError, match="enforces redact"):
        plan(Person, entry + '"redact"')
    assert plan(Person, entry + '"partial_mask"').columns


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("= 1", "no TOML"),
        ("protect = 1", "no list of tables"),
        ("requires = true", "nothing that a policy says"),
        ("require_protection = 1", "neither true"),
        ('[[protect]]\nmethod = "redact"', "names no classification"),
        ('[[protect]]\nclassification = "a"', "no method"),
        ('[[protect]]\nclassification = "a"\nmethod = "redacted"', "no method"),
        ('[[protect]]\nclassification = "a"\nmethod = "redact"\nlast = 1', "takes no last"),
        ('[[protect]]\nclassification = "a"\nmethod = "generalise"\nbucket = 0', "no width"),
        ('[[protect]]\nclassification = "a"\nmethod = "redact"\nenforce = 1', "neither true nor false"),
        ('[[protect]]\nclassification = "a"\nmethod = "redact"\n' * 2, "two entries"),
    ],
)
def test_a_policy_that_is_none_is_refused(tmp_path: Path, text: str, says: str):
    """Each with the file, and what to write."""
    path = tmp_path / "policy.toml"
    path.write_text(text)
    with pytest.raises(PolicyUnusable, match=says) as error:
        Policy.load(path)
    assert str(path) in error.value.what
    assert error.value.hint


def test_a_policy_that_was_asked_for_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """One that nobody asked for need not."""
    monkeypatch.chdir(tmp_path)
    assert Policy.load(None) == Policy()
    with pytest.raises(PolicyUnusable, match="cannot be read"):
        Policy.load(tmp_path / "gone.toml")
    (tmp_path / "rowkeeper.policy.toml").write_text("require_protection = true")
    assert Policy.load(None).requires(["anything"])


# --------------------------------------------------------------------------------- destination and gates


class Order(BaseModel):
    id: Annotated[int, rk.Encrypt()]
    customer: Annotated[str, rk.Pseudonymise()]
    amount: Annotated[float, rk.Generalise(bucket=10.0)]
    placed: Annotated[rk_date, rk.Redact()]
    phone: Annotated[str, rk.PartialMask()]
    city: str


def declared(tmp_path: Path, gates=(), **options) -> None:
    made = rk.Pipeline(
        "orders",
        source=rk.sources.files("*.csv"),
        contract=Order,
        gates=gates,
        destination=rk.destinations.clickhouse("orders", **{"order_by": ["city"], **options}),
    )
    with rk.Workspace.open(Settings(home=tmp_path / "home", key_file=tmp_path / "key")) as space:
        protections_for(made, space)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"write": "merge", "key": ["id"]}, "key column id"),
        ({"duplicates": "skip", "key": ["phone"]}, "key column phone"),
        ({"duplicates": "skip", "key": ["amount"]}, "key column amount"),
        ({"write": "merge", "key": ["customer"], "version": "placed"}, "keeps no order"),
        ({"partition_by": "sipHash64(id) % 4"}, "each row would be a partition"),
    ],
)
def test_keys_versions_and_partitions_must_make_sense(tmp_path: Path, options: dict, says: str):
    """Rows of one key are known by it, and the newer by its version."""
    with pytest.raises(DeclarationError, match=says):
        declared(tmp_path, **options)


def test_what_makes_sense_is_let_pass(tmp_path: Path):
    """A pseudonym is a key, and a generalised version is a version."""
    declared(tmp_path, write="merge", key=["customer"], version="amount", partition_by="amount")


@pytest.mark.parametrize(
    "gate",
    [
        rk.unique("id"),
        rk.unique("city", "phone"),
        rk.accepted_values("customer", ["ada"]),
        rk.between("placed", rk_date(2020, 1, 1)),
        rk.matches("customer", "^a"),
        rk.references("phone", "phones"),
        rk.fresh("placed", within=timedelta(days=1)),
        rk.same_total("id", "others"),
        rk.against_last_run("mean", "id", within=0.5),
    ],
)
def test_gates_that_protected_values_cannot_answer_are_refused(tmp_path: Path, gate):
    """They would pass, or fail, whatever the clear values are."""
    with pytest.raises(DeclarationError, match="protected values") as error:
        declared(tmp_path, [gate])
    assert "rk.rule" in error.value.hint


def test_gates_that_they_can_answer_are_let_pass(tmp_path: Path):
    """Nulls are nulls, pseudonyms are unique and refer, generalised values lie between."""
    gates = [rk.complete("id"), rk.unique("customer"), rk.references("customer", "people"), rk.between("amount", 0)]
    declared(tmp_path, [*gates, rk.matches("phone", r"\d{4}$"), rk.unique("city"), rk.volume(at_least=1)])
