"""How a profile differs from the former one, in words, and its figures as a person reads them."""

from __future__ import annotations

from typing import Any

from rowkeeper.quality.profile import ColumnProfile, Profile

NOTABLE_SHARE = 0.005  # a null share that moved by less than half a point is not told
NOTABLE_CHANGE = 0.01


def changes(column: ColumnProfile, former: Profile | None) -> list[str]:
    """What changed in a column, a few words each; "new" for one that was not there."""
    if former is None:
        return []
    before = next((each for each in former.columns if each.name == column.name), None)
    if before is None:
        return ["new"]
    told = []
    if abs(column.null_share - before.null_share) >= NOTABLE_SHARE:
        told.append(f"nulls {(column.null_share - before.null_share) * 100:+.1f} points")
    if column.mean is not None and before.mean:
        change = (column.mean - before.mean) / abs(before.mean)
        if abs(change) >= NOTABLE_CHANGE:
            told.append(f"mean {change:+.1%}")
    gone = {value for value, _ in before.top} - {value for value, _ in column.top}
    if gone and column.distinct is not None and len(column.top) == column.distinct:
        told.append(f"{len(gone)} value{'s' if len(gone) > 1 else ''} gone")
    return told


def share(number: float) -> str:
    """A share in percent; neither a few nor nearly all are rounded away."""
    percent = number * 100
    if 0 < percent < 0.1:
        return "<0.1%"
    if 99.9 < percent < 100:
        return ">99.9%"
    return f"{percent:.0f}%" if percent == round(percent) else f"{percent:.1f}%"


def figure(value: Any) -> str:
    """A number with as many digits as tell something; anything else as it is."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10_000 or value == round(value) else f"{value:,.4g}"
    text = str(value).replace("T00:00:00+00:00", "").replace("T00:00:00", "")
    return text.replace("T", " ").replace("+00:00", "") if text[:4].isdigit() and "T" in text else text
