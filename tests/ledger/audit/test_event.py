"""An entry's bytes: canonical JSON, whatever is in it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowkeeper.errors import AuditEntryTooLong
from rowkeeper.ledger.audit.event import Drafter, Event, Outcome, address_field, parsed

TEXT = st.text(max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(TEXT, below, max_size=3),
    max_leaves=6,
)
AT = datetime(2026, 11, 26, 9, 0, 0, 17, UTC)


@given(
    action=TEXT,
    on=st.dictionaries(TEXT, VALUES, max_size=4),
    detail=st.dictionaries(TEXT, VALUES, max_size=4),
    outcome=st.sampled_from(Outcome),
    purpose=st.none() | TEXT.filter(bool),
    reason=st.none() | TEXT,
    session=st.none() | TEXT,
    address=st.none() | TEXT,
)
def test_an_entry_is_canonical_json(action, on, detail, outcome, purpose, reason, session, address):
    """Put together by hand, it is byte for byte the document with sorted keys and no spaces, and is read back."""
    event = Event(action, on, outcome=outcome, detail=detail, purpose=purpose, reason=reason)
    draft = Drafter(AT, "höst", 17, session=session).draft(event)
    data = draft.entry(b"p_1", address_field(address))
    origin = {"host": "höst", "process": 17, "address": address, "session": session}
    document = {
        "v": 1,
        "at": "2026-11-26T09:00:00.000017+00:00",
        "who": "p_1",
        "from": {name: value for name, value in origin.items() if value is not None},
        "action": action,
        "on": on,
        "outcome": outcome,
        "detail": detail or None,
        "purpose": purpose,
        "reason": None if reason is None else hashlib.sha256(draft.salt + reason.encode()).hexdigest(),
    }
    whole = {name: value for name, value in document.items() if value is not None}
    assert data == msgspec.json.encode(whole, order="deterministic")
    assert parsed(3, data, reason=reason).event == event


def test_what_does_not_fit_into_an_entry_is_refused():
    """An entry's length is told in two bytes; a longer one is an error of its own, with its action and no value."""
    drafter = Drafter(AT, "host", 1)
    drafter.draft(Event("data.query", {"tables": "x" * 60_000}))
    with pytest.raises(AuditEntryTooLong, match=r"data\.query would have 70,\d\d\d bytes") as raised:
        drafter.draft(Event("data.query", {"tables": "x" * 70_000}))
    assert "xxx" not in str(raised.value)
