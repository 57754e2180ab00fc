"""JSONPath over text: what is found is what the RFC says, and is as it stood there."""

from __future__ import annotations

from decimal import Decimal

import pytest

from rowkeeper.apis.selecting import MISSING, Document, Path, Unreadable
from rowkeeper.errors import DeclarationError

TEXT = b"""{"data": {"items": [ {"id": 1.10, "t": "a"},
 {"id": 12345678901234567890123} , null, [1, 2] ], "next": null, "none": {}, "a-b": {"c d": [7]}},
 "n": 0.10, "flag": false}"""


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$.data.items[*]", [b'{"id": 1.10, "t": "a"}', b'{"id": 12345678901234567890123}', b"null", b"[1, 2]"]),
        ("$['data'][\"items\"][0]", [b'{"id": 1.10, "t": "a"}']),
        ("$.data.items[0].t", [b'"a"']),
        ("$.data.items[3][*]", [b"1", b"2"]),
        ("$.data.items[*].id", [b"1.10", b"12345678901234567890123"]),
        ("$.data.a-b['c d'][*]", [b"7"]),
        ("$.data.next[*]", []),
        ("$.data.none[*]", []),
        ("$.data.none.*", []),
        ("$.data.missing[*]", None),
        ("$.missing", None),
        ("$.data.items[9]", None),
        ("$.n[*]", None),
        ("$..id", [b"1.10", b"12345678901234567890123"]),
        ("$.data.items[?@.t == 'a']", [b'{"id":1.10,"t":"a"}']),
        ("$.data.items[-1]", [b"[1,2]"]),
        ("$.data.items[?@.nothing]", []),
    ],
)
def test_records(path, found):
    """Walked paths keep the bytes; the library's keep every digit."""
    assert Path(path).records(Document(TEXT)) == found


def test_the_whole_is_a_record():
    """On one line."""
    assert Path("$").records(Document(b'{"a":\n1}')) == [b'{"a":\n1}'.replace(b"\n", b" ")]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("$.n", Decimal("0.10")),
        ("$.flag", False),
        ("$.data.next", None),
        ("$.data.nothing", MISSING),
        ("$.data.items[?@.t].id", Decimal("1.10")),
        ("$..nothing", MISSING),
    ],
)
def test_values(path, value):
    """Null is a value, and no value is another thing."""
    found = Path(path).value(Document(TEXT))
    assert found is value or found == value
    assert (found is MISSING) == (value is MISSING)


@pytest.mark.parametrize("text", [b'{"a": 1', b"{'a': 1}", b'{"a": 01}', b"nul", b'{"a": NaN}', b'{"a": "x\ny"}', b""])
def test_what_is_no_json_is_told(text):
    """By the walked paths and by the library's."""
    for path in ("$.a", "$..a"):
        with pytest.raises(Unreadable):
            Path(path).value(Document(text))


@pytest.mark.parametrize("text", ["items", "$.items[", "$.items[?]", "$[1:2:3:4]", "", 7])
def test_what_is_no_path_is_refused(text):
    """When it is declared."""
    with pytest.raises(DeclarationError):
        Path(text)
