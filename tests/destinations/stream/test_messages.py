"""Rows as messages: their form, key, headers, size; and what a declaration may not say."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

import rowkeeper as rk
from rowkeeper.batch import ROW_ID
from rowkeeper.destinations.streams import jsontext
from rowkeeper.destinations.streams.declaring import StreamDestination
from rowkeeper.destinations.streams.messages import Making, in_portions
from rowkeeper.destinations.streams.nats import covers
from rowkeeper.errors import DeclarationError, FrameworkError, MessageTooLarge, SecretLiteral, TransformError

NOON = datetime.datetime(2026, 3, 29, 12, 0, 0, 1, tzinfo=datetime.UTC)
ROWS = pa.table(
    {
        "id": pa.array([2**63 - 1, None, -1], pa.int64()),
        "text": pa.array(['a "quoted"\n東京 100%', "", None], pa.string()),
        "amount": pa.array([Decimal("123456789012345678901234567890.123456"), Decimal("-0.000001"), None]),
        "ratio": pa.array([0.1 + 0.2, float("nan"), float("-inf")], pa.float64()),
        "flag": pa.array([True, False, None], pa.bool_()),
        "raw": pa.array([b"\x00\xff", b"", None], pa.binary()),
        "moment": pa.array([NOON, None, NOON], pa.timestamp("us", "Europe/Copenhagen")),
        "day": pa.array([NOON.date(), None, NOON.date()], pa.date32()),
        "tags": pa.array([["a", None], [], None], pa.list_(pa.string())),
        "place": pa.array([{"x": 1.5, "at": NOON}, None, {"x": None, "at": None}]).cast(
            pa.struct([("x", pa.float64()), ("at", pa.timestamp("us", "UTC"))])
        ),
        "counts": pa.array([[("a", 1)], [], None], pa.map_(pa.string(), pa.int64())),
        ROW_ID: pa.array([0, 1, 2], pa.uint64()),
    }
)


def making(**more: Any) -> Making:
    given = {"key": (), "headers": (), "header_columns": (), "timestamp": None, "encoder": None, "size_max": 10_000}
    return Making(**{**given, **more})


def test_a_row_is_a_json_object_without_a_digit_lost() -> None:
    """Each type as the page says, read by another reader of JSON."""
    first, second, third = (json.loads(text, parse_float=str) for text in jsontext.texts(ROWS))
    assert first == {
        "id": 2**63 - 1,
        "text": 'a "quoted"\n東京 100%',
        "amount": "123456789012345678901234567890.123456",
        "ratio": "0.30000000000000004",
        "flag": True,
        "raw": "AP8=",
        "moment": "2026-03-29T12:00:00.000001Z",
        "day": "2026-03-29",
        "tags": ["a", None],
        "place": {"x": "1.5", "at": "2026-03-29T12:00:00.000001Z"},
        "counts": {"a": 1},
    }
    assert (second["amount"], second["ratio"], second["moment"]) == ("-0.000001", "NaN", None)
    assert (third["ratio"], third["tags"], third["place"]) == ("-Infinity", None, {"x": None, "at": None})


def test_what_was_written_reads_back_as_the_same_rows() -> None:
    """Back in the same types, every value is the one that it was (NaN apart, which equals nothing)."""
    schema = ROWS.drop_columns([ROW_ID, "ratio"]).schema
    assert jsontext.table_of(jsontext.texts(ROWS), schema).to_pylist() == ROWS.select(schema.names).to_pylist()


def test_a_message_that_was_changed_is_no_row() -> None:
    """A value of another type, or no object at all, is told and not believed."""
    for text in (b'{"id": "x"}', b"[]", b"no", b'{"amount": "a lot"}'):
        with pytest.raises(ValueError, match=r"type|object|Expecting|value"):
            jsontext.table_of([text], ROWS.schema)


def test_key_headers_and_timestamp_are_of_columns() -> None:
    """One column is its text, several are an array; a null gives no header and no key."""
    one, two, three = making(key=("text",), header_columns=(("day", "day"),), timestamp="moment").messages(ROWS)
    assert (one.key, two.key, three.key) == ('a "quoted"\n東京 100%'.encode(), b"", None)
    assert (one.headers, two.headers) == ((("day", "2026-03-29"),), ())
    assert (one.at_ms, two.at_ms) == (int(NOON.timestamp() * 1000), None)
    several = making(key=("id", "flag"), headers=(("a", "b"),)).messages(ROWS)
    assert several[0].key == b'["9223372036854775807","true"]'
    assert several[0].headers == (("a", "b"),)


def test_a_row_too_large_is_one_clear_error_without_its_values() -> None:
    """It says which row, how large it is, and what is allowed."""
    with pytest.raises(MessageTooLarge, match=r"row 1 of partition 1 .* 300 are allowed") as caught:
        making(size_max=300).messages(ROWS)
    assert "quoted" not in str(caught.value)


def test_an_encoder_makes_other_messages() -> None:
    """It is given the rows, and must make one message of each."""
    made = making(encoder=lambda rows: [b"%d" % row for row in rows[ROW_ID].to_pylist()]).messages(ROWS)
    assert [each.value for each in made] == [b"0", b"1", b"2"]
    for encoder in (lambda _rows: [b"one"], lambda _rows: ["a", "b", "c"], lambda _rows: 1 // 0):
        with pytest.raises(TransformError):
            making(encoder=encoder).messages(ROWS)


def test_portions_are_bounded_and_leave_nothing_out() -> None:
    """By number and by size; one that is larger alone goes alone."""
    messages = making().messages(ROWS)
    for count, size in ((1, 10**6), (2, 10**6), (100, 1)):
        portions = list(in_portions(iter([messages, messages]), count, size))
        assert [each for portion in portions for each in portion] == messages * 2
        assert all(len(portion) <= count for portion in portions)


def test_a_declaration_comes_back_from_what_the_ledger_keeps_of_it() -> None:
    """`recover` rebuilds it: where, who we are by reference, TLS, how messages are made."""
    made = rk.destinations.stream(
        "kafkas://b1:9093,[::1]:9093/orders",
        key=["a", "b"],
        headers={"x": "1"},
        header_columns={"y": "c"},
        timestamp="t",
        auth=rk.sources.Sasl("loader", password="env:KAFKA_PASSWORD"),
        tls=rk.TLS(ca="ca.pem"),
    )
    kept = json.loads(json.dumps(made.describe()))
    assert StreamDestination.from_description(kept) == made
    assert made.guarantee == "exactly once"


@pytest.mark.parametrize(
    ("url", "more"),
    [
        ("nats://host/ORDERS?subject=orders.>", {}),
        ("nats://host/ORDERS?subject=orders.*", {}),
        ("kafka://host/orders", {"message_bytes_max": 10}),
        ("kafka://host/orders", {"headers": {"rk-run": "1"}}),
        ("kafka://host/orders", {"headers": {"x": "a\nb"}}),
        ("kafka://host/orders", {"header_columns": {"a b": "c"}}),
        ("kafka://host/orders", {"fallback": "wait"}),
        ("kafka://host/orders", {"encoder": "json"}),
        ("kafka://host/", {}),
    ],
)
def test_what_cannot_be_is_refused_where_it_is_declared(url: str, more: dict[str, Any]) -> None:
    """One clear error before anything is asked."""
    with pytest.raises(DeclarationError):
        rk.destinations.stream(url, **more)


def test_a_secret_in_the_url_is_refused() -> None:
    """It belongs to auth=, as a reference."""
    with pytest.raises(FrameworkError) as caught:
        rk.destinations.stream("valkey://user:sesame@host/orders")
    assert isinstance(caught.value, SecretLiteral | DeclarationError)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "subject", "fits"),
    [
        ("a.b", "a.b", True),
        ("a.*", "a.b", True),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        ("a.*", "a.b.c", False),
        ("a.b.c", "a.b", False),
    ],
)
def test_subjects_are_compared_as_the_server_does(pattern: str, subject: str, fits: bool) -> None:
    """`*` is one token, `>` one or more at the end."""
    assert covers(pattern, subject) is fits
