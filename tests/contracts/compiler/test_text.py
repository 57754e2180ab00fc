"""str, bytes and UUID."""

from __future__ import annotations

import re
from typing import Annotated, Any
from uuid import UUID

import pyarrow as pa
import pytest
from pydantic import UUID4, Field, StringConstraints

from tests.contracts.compiler.agreeing import decided

TEXTS = [
    *(
        "",
        "a",
        "A",
        " a ",
        "\ta\n",
        "\x1ca\x1c",
        "\u2003a\u2003",
        "\u00a0",
        "abc",
        "abcd",
        "\u0663",
        "\xdf",
        "\u0130",
        "\u01c5",
        "a\u0301",
    ),
    *("zone 123", "zone 123\n", "xzone 123", "zone \u0661\u0662\u0663", "\U0001f600", "\x00", "line\nline", "\ufeffa"),
]
STRIPPED = StringConstraints(strip_whitespace=True, min_length=1, max_length=3)


@pytest.mark.parametrize(
    "annotation",
    [
        str,
        Annotated[str, Field(min_length=1)],
        Annotated[str, Field(max_length=3)],
        Annotated[str, STRIPPED],
        Annotated[str, StringConstraints(to_lower=True, pattern="^[A-Z]")],
        Annotated[str, StringConstraints(to_upper=True, strip_whitespace=True)],
        Annotated[str, Field(pattern="^zone [0-9]{3}$")],
        Annotated[str, Field(pattern=r"^zone \d{3}$")],
        Annotated[str, Field(pattern="a")],
        Annotated[str, Field(pattern=r"\bline$")],
        Annotated[str, Field(pattern="(?m)^line$")],
    ],
)
@pytest.mark.parametrize("type", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
def test_str(annotation: Any, type: pa.DataType):
    """Stripped, measured in code points, matched unanchored, then cased; also with each distinct value seen once."""
    assert decided(annotation, TEXTS, type) > 0
    assert decided(annotation, TEXTS * 3, type, str_strip_whitespace=True) > 0


@pytest.mark.parametrize("pattern", [re.compile("^a"), re.compile("(?i)a")])
def test_compiled_patterns_are_pythons_own(pattern: re.Pattern[str]):
    """Pydantic matches them with `re`, so the field is judged alone by Pydantic."""
    decided(Annotated[str, Field(pattern=pattern)], TEXTS)


def test_a_look_around_is_no_rust_pattern():
    """With the engine python-re the field goes to Pydantic."""
    decided(Annotated[str, Field(pattern="^(?=a)")], TEXTS, regex_engine="python-re")


def test_bytes():
    """As they are, measured."""
    assert decided(bytes, [b"", b"a", b"\xff\x00"], pa.binary()) > 0
    assert decided(Annotated[bytes, Field(min_length=1, max_length=2)], [b"", b"a", b"abc"], pa.large_binary()) > 0


@pytest.mark.parametrize("annotation", [UUID, UUID4])
def test_uuid(annotation: Any):
    """The usual form by column; braces, URNs and bare digits by Pydantic."""
    one = "01234567-89ab-4def-8123-456789abcdef"
    forms = [
        *(
            one,
            one.upper(),
            one.replace("-", ""),
            "{" + one + "}",
            "urn:uuid:" + one,
            one[:-1],
            one + "0",
            " " + one,
            "",
        ),
        *("01234567-89ab-1def-8123-456789abcdef", "0123456-789ab-4def-8123-456789abcdef", "g" + one[1:]),
    ]
    decided(annotation, forms)
