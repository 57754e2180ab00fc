"""Each method keeps its word, over whatever values there are."""

from __future__ import annotations

import hashlib
import hmac
import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rowkeeper.errors import DeclarationError, KeyUnusable, RevealFailed
from rowkeeper.security.keysets import Key, Keyset, Keysets
from rowkeeper.security.protection import (
    Encrypt,
    EncryptJoinable,
    FormatPreserving,
    Generalise,
    PartialMask,
    Pseudonymise,
    Redact,
    columnar,
    pseudonym,
)
from rowkeeper.security.protection.method import use_of
from rowkeeper.security.protection.redact import REDACTED
from tests.security.protection.keysets import fresh

KEYSETS = fresh()
UUID = {b"rk:type": b"uuid"}
times = st.datetimes(datetime(1900, 1, 1), datetime(2299, 12, 31))
COLUMNS = {
    "text": (pa.field("x", pa.string()), st.text(st.characters(codec="utf-8"), max_size=40)),
    "int": (pa.field("x", pa.int64()), st.integers(-(2**63), 2**63 - 1)),
    "decimal": (
        pa.field("x", pa.decimal128(38, 9)),
        st.decimals(min_value=-(10**28), max_value=10**28, places=9, allow_nan=False, allow_infinity=False),
    ),
    "date": (pa.field("x", pa.date32()), st.dates(date(1900, 1, 1), date(2299, 12, 31))),
    "instant": (pa.field("x", pa.timestamp("us", "UTC")), times.map(lambda each: each.replace(tzinfo=UTC))),
    "wall time": (pa.field("x", pa.timestamp("us")), times),
    "time": (pa.field("x", pa.time64("us")), st.times()),
    "duration": (pa.field("x", pa.duration("us")), st.timedeltas(timedelta(-(10**5)), timedelta(10**5))),
    "bytes": (pa.field("x", pa.binary()), st.binary(max_size=40)),
    "uuid": (pa.field("x", pa.binary(16), metadata=UUID), st.binary(min_size=16, max_size=16)),
}
FLOATS = (pa.field("x", pa.float64()), st.floats(allow_nan=False))
BOOLEANS = (pa.field("x", pa.bool_()), st.booleans())
columns = pytest.mark.parametrize("kind", COLUMNS)
few = settings(max_examples=25, deadline=None)


def use(method, field: pa.Field, purpose: str = "p", keysets: Keysets = KEYSETS):
    return use_of(method, field, purpose, keysets)


def through(method, field: pa.Field, values: list, purpose: str = "p", keysets: Keysets = KEYSETS) -> list:
    assert method.refusal(field) == ""
    made = columnar.protected(pa.array(values, field.type), method, use(method, field, purpose, keysets))
    assert made.type == method.stored(field).type
    return made.to_pylist()


def with_nulls(values: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(st.none() | values, min_size=1, max_size=12)


@pytest.mark.parametrize("method", [Encrypt(), EncryptJoinable()])
@pytest.mark.parametrize("kind", [*COLUMNS, "float", "bool"])
@few
@given(data=st.data())
def test_encryption_turns_back(method, kind: str, data):
    """Every value of every type is revealed as it was; null is null before, meanwhile and after."""
    field, values = {**COLUMNS, "float": FLOATS, "bool": BOOLEANS}[kind]
    given_values = data.draw(with_nulls(values))
    if method.refusal(field):
        assert kind in ("float", "bool")
        return
    clear = pa.array(given_values, field.type)
    bound = use(method, field)
    made = columnar.protected(clear, method, bound)
    assert [each is None for each in made.to_pylist()] == [each is None for each in given_values]
    assert columnar.revealed(made, method, bound).equals(clear)


@few
@given(st.lists(st.integers(-(10**18), 10**18).filter(lambda each: abs(each) >= 10**6), min_size=1, max_size=12))
def test_whole_numbers_keep_their_form(values: list[int]):
    """Seven digits stay seven, and the sign stays; turned back they are what they were."""
    method, field = FormatPreserving(), pa.field("x", pa.int64())
    made = through(method, field, values)
    assert [len(str(each)) for each in made] == [len(str(each)) for each in values]
    back = columnar.revealed(pa.array(made, pa.int64()), method, use(method, field))
    assert back.to_pylist() == values


@pytest.mark.parametrize("values", [[2**63 - 1, 10**18, 9 * 10**18], [-(2**63) + 1, 10**6, -(10**6)]])
def test_the_largest_whole_numbers_stay_in_their_64_bits(values: list[int]):
    """Of nineteen digits only those that fit are met on the way."""
    method, field = FormatPreserving(), pa.field("x", pa.int64())
    made = through(method, field, values)
    assert columnar.revealed(pa.array(made, pa.int64()), method, use(method, field)).to_pylist() == values


@pytest.mark.parametrize(
    ("method", "alphabet"),
    [
        (FormatPreserving(), "0123456789"),
        (FormatPreserving(radix=36), "0123456789abcdefghijklmnopqrstuvwxyz"),
        (FormatPreserving(radix=36, upper=True), "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    ],
)
@few
@given(data=st.data())
def test_texts_keep_their_form(method: FormatPreserving, alphabet: str, data):
    """Length, alphabet and separators stay where they are, of short texts and of very long ones."""
    letters = st.text(alphabet + " -./+()", min_size=6, max_size=80)
    values = data.draw(st.lists(letters.filter(lambda each: sum(map(str.isalnum, each)) >= 6), min_size=1, max_size=8))
    field = pa.field("x", pa.string())
    made = through(method, field, values)
    for before, after in zip(values, made, strict=True):
        assert [each if not each.isalnum() else "x" for each in before] == [
            each if each not in alphabet else "x" for each in after
        ]
    assert columnar.revealed(pa.array(made), method, use(method, field)).to_pylist() == values


@pytest.mark.parametrize(
    "text", ["12345", "", "12-34-5", "1234567a", "\uff11\uff12\uff13\uff14\uff15\uff16\uff17", "12345678\n"]
)
def test_what_has_too_small_a_domain_or_another_form_is_unfit(text: str):
    """Fewer than a million texts could be told apart by trying; other characters would stay in the clear."""
    assert columnar.unfit(pa.array(["1234567", None, text, text]), FormatPreserving()) == [2, 3]


@pytest.mark.parametrize("number", [0, 999_999, -999_999, -(2**63)])
def test_numbers_with_too_small_a_domain_are_unfit(number: int):
    """Of six digits there are 900,000."""
    assert columnar.unfit(pa.array([10**6, number, None]), FormatPreserving()) == [1]


@columns
@few
@given(data=st.data())
@pytest.mark.parametrize("method", [Pseudonymise(), EncryptJoinable()])
def test_what_joins_is_a_function(kind: str, method, data):
    """Equal values have equal results, in another batch as well; different ones have different results."""
    field, values = COLUMNS[kind]
    drawn = data.draw(with_nulls(values))
    made = through(method, field, drawn + drawn[::-1])
    pairs = dict(zip([str(each) if each is not None else None for each in drawn], made, strict=False))
    assert made == made[::-1]
    assert through(method, field, drawn[::-1]) == made[len(drawn) :]
    if kind != "decimal":  # 1.50 and 1.5 are one number
        assert len(set(pairs.values())) == len(set(map(repr, drawn)))


@pytest.mark.parametrize("method", [Pseudonymise(), EncryptJoinable(), FormatPreserving(), Encrypt()])
def test_two_purposes_have_nothing_in_common(method):
    """Nothing that one purpose writes is written for another."""
    field = pa.field("x", pa.string())
    values = [f"{number:09}" for number in range(200)]
    assert not set(through(method, field, values, "billing")) & set(through(method, field, values, "marketing"))


def test_encryption_is_randomised():
    """Equal values of one batch, and those of two, have nothing in common but their length."""
    field = pa.field("x", pa.string())
    made = through(Encrypt(), field, ["ada"] * 50) + through(Encrypt(), field, ["ada"] * 50)
    assert len(set(made)) == 100
    assert len(set(map(len, made))) == 1


def test_a_pseudonym_is_an_hmac_and_of_one_value_in_every_type():
    """42 and "42" join; the digits are those of HMAC-SHA256, by the plugin and without it."""
    key = KEYSETS.of("pseudonymise.p").primary.derive("pseudonym hmac-sha256").hex().encode()
    expected = hmac.new(key, b"42", hashlib.sha256).hexdigest()[:32]
    assert through(Pseudonymise(), pa.field("x", pa.int64()), [42]) == [expected]
    assert through(Pseudonymise(), pa.field("x", pa.string()), ["42"]) == [expected]
    assert through(Pseudonymise(), pa.field("x", pa.decimal128(9, 2)), [Decimal("42.00")]) == [expected]


def test_the_plugin_and_the_standard_library_agree(monkeypatch: pytest.MonkeyPatch):
    """Whether `rowkeeper[fast]` is installed makes no difference to what is written."""
    values = pa.array([f"é{number}".encode() for number in range(pseudonym.FEW * 2)], pa.binary())
    assert pseudonym._has_plugin(), "the development environment has it"
    fast = pseudonym.hmac_digits(values, "ab" * 32)
    monkeypatch.setattr(pseudonym, "_has_plugin", lambda: False)
    assert pseudonym.hmac_digits(values, "ab" * 32).equals(fast)


@pytest.mark.parametrize("method", [Redact(), Pseudonymise(), Encrypt(), EncryptJoinable(), FormatPreserving()])
@few
@given(st.lists(st.from_regex(r"[1-9][0-9]{11,20}", fullmatch=True), min_size=1, max_size=20))
def test_nothing_of_the_value_is_left(method, values: list[str]):
    """No six characters in a row of a value are in its protected form, but by chance."""
    made = through(method, pa.field("x", pa.string()), values)
    kept = sum(
        before[at : at + 6] in after
        for before, after in zip(values, made, strict=True)
        for at in range(len(before) - 5)
    )
    assert kept <= 1


@few
@given(st.lists(st.text(max_size=12), min_size=1, max_size=12), st.integers(0, 3), st.integers(1, 4))
def test_a_mask_never_shows_more_than_half(values: list[str], first: int, last: int):
    """The characters at the ends, of values that have at least as many others; how long one was is not shown."""
    method = PartialMask(first=first, last=last)
    for value, masked in zip(values, through(method, pa.field("x", pa.string()), values), strict=True):
        if len(value) < 2 * (first + last):
            assert masked == "***"
        else:
            assert masked == value[:first] + "***" + value[len(value) - last :]
        assert masked == method.masked(value)


@few
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1), st.integers(1, 2**62))
def test_a_bucket_holds_its_numbers(values: list[int], width: int):
    """A number becomes the lower end of its bucket; only the lowest bucket of all may have none in 64 bits."""
    made = through(Generalise(bucket=width), pa.field("x", pa.int64()), values)
    for value, floor in zip(values, made, strict=True):
        assert floor % width == 0
        assert 0 <= value - floor < width or (floor - value < width and floor - width < -(2**63))


def test_generalising():
    """Numbers, text, dates and times become coarse and keep their type."""
    assert through(Generalise(bucket=0.5), pa.field("x", pa.float64()), [1.7, -0.1, math.inf]) == [1.5, -0.5, math.inf]
    money = pa.field("x", pa.decimal128(4, 2))
    assert through(Generalise(bucket=10), money, [Decimal("-99.99"), Decimal("12.34")]) == [-90, 10]
    assert through(Generalise(truncate=2), pa.field("x", pa.string()), ["0150", "01", "", None]) == ["01", "", "", None]
    assert through(Generalise(date="year"), pa.field("x", pa.date32()), [date(1999, 5, 17)]) == [date(1999, 1, 1)]
    instant = pa.field("x", pa.timestamp("us", "UTC"))
    (made,) = through(Generalise(date="month"), instant, [datetime(1900, 1, 31, 23, 59, tzinfo=UTC)])
    assert made == datetime(1900, 1, 1, tzinfo=UTC)


def test_redacting_takes_every_column():
    """Also lists, structs, and what is null stays null."""
    for kind, values in ((pa.list_(pa.string()), [["a"], [], None]), (pa.time64("us"), [time(1), None])):
        field = pa.field("x", kind)
        expected = [None if each is None else REDACTED for each in values]
        assert through(Redact(), field, values) == expected


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.string()), pa.map_(pa.string(), pa.int64()), pa.struct([("a", pa.int8())])]
)
def test_cells_of_several_values_are_refused(kind: pa.DataType):
    """A list has no one value to be protected."""
    methods = (PartialMask(), Pseudonymise(), Encrypt(), EncryptJoinable(), FormatPreserving(), Generalise(bucket=1))
    assert all(method.refusal(pa.field("x", kind)) for method in methods)


@pytest.mark.parametrize("method", [Pseudonymise(), EncryptJoinable()])
@pytest.mark.parametrize("kind", [pa.bool_(), pa.float64()])
def test_what_identifies_nothing_is_not_joined(method, kind: pa.DataType):
    """Of two values anybody can tell which is which."""
    assert method.refusal(pa.field("x", kind))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: PartialMask(0, 0),
        lambda: PartialMask(-1, 2),
        lambda: FormatPreserving(radix=16),
        lambda: FormatPreserving(separators="x"),
        Generalise,
        lambda: Generalise(bucket=1, truncate=1),
        lambda: Generalise(bucket=0),
        lambda: Generalise(bucket=math.inf),
        lambda: Generalise(truncate=0),
        lambda: Generalise(date="week"),
        lambda: Pseudonymise(purpose="no way"),
        lambda: Encrypt(purpose=""),
    ],
)
def test_arguments_that_make_no_sense_are_refused(wrong):
    """Before anything is read, with the argument's name."""
    with pytest.raises(DeclarationError) as error:
        wrong()
    assert error.value.hint


# ---------------------------------------------------------------------------------------- keys and damage


class TwoKeys:
    """A keyset after a rotation: the second key is the primary."""

    def of(self, purpose: str) -> Keyset:
        old, new = KEYSETS.of(purpose).primary, Key(2, hashlib.sha256(purpose.encode()).digest())
        return Keyset(purpose, new, (old, new))


class Revoked(TwoKeys):
    """And after the first was revoked."""

    def of(self, purpose: str) -> Keyset:
        kept = super().of(purpose).primary
        return Keyset(purpose, kept, (kept,))


ROTATED, REVOKED = TwoKeys(), Revoked()
TEXT = pa.field("x", pa.string())


@pytest.mark.parametrize("method", [Pseudonymise(), EncryptJoinable(), FormatPreserving()])
def test_what_joins_goes_on_joining_when_keys_are_rotated(method):
    """Another key would part new rows from those that are there."""
    assert through(method, TEXT, ["1234567"], keysets=ROTATED) == through(method, TEXT, ["1234567"])


def test_encryption_takes_the_new_key_and_reads_the_old_one():
    """Each ciphertext says which key it was written with."""
    old, new = through(Encrypt(), TEXT, ["ada"]), through(Encrypt(), TEXT, ["ada"], keysets=ROTATED)
    made = pa.array(old + new)
    assert columnar.revealed(made, Encrypt(), use(Encrypt(), TEXT, keysets=ROTATED)).to_pylist() == ["ada", "ada"]
    with pytest.raises(KeyUnusable):
        columnar.revealed(made, Encrypt(), use(Encrypt(), TEXT))


@pytest.mark.parametrize("method", [Encrypt(), EncryptJoinable()])
def test_what_was_written_with_a_revoked_key_is_gone(method):
    """It is refused, not misread."""
    made = pa.array(through(method, TEXT, ["ada"]))
    with pytest.raises(KeyUnusable):
        columnar.revealed(made, method, use(method, TEXT, keysets=REVOKED))


@pytest.mark.parametrize("method", [Encrypt(), EncryptJoinable()])
def test_every_flipped_bit_is_noticed(method):
    """So is a value of another purpose, one that was cut, and one that was never encrypted."""
    (made,) = through(method, TEXT, ["ada@example.org"])
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    wrong = [made[:-2], "", "ada@example.org", "AQ", "Ag", made + "A", f"{made[:9]}!{made[10:]}"]
    # The last character holds bits that are not part of any byte.
    wrong += [made[:at] + alphabet[alphabet.index(made[at]) ^ 32] + made[at + 1 :] for at in range(len(made) - 1)]
    for each in wrong:
        with pytest.raises((RevealFailed, KeyUnusable)) as error:
            columnar.revealed(pa.array([each]), method, use(method, TEXT))
        assert "ada" not in str(error.value)
    with pytest.raises((RevealFailed, KeyUnusable)):
        columnar.revealed(pa.array([made]), method, use(method, TEXT, "other"))
