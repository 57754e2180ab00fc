"""What one check of `rowkeeper doctor` found."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was found, and what to do about it.

    Attributes:
        ok: nothing is broken. With a `mend` all the same, it is something to know of.
    """

    name: str
    ok: bool
    found: str
    mend: str = ""

    @property
    def level(self) -> str:
        """`ok`, `note` or `wrong`."""
        if not self.ok:
            return "wrong"
        return "note" if self.mend else "ok"

    def as_dict(self) -> dict[str, object]:
        """The JSON document, the same for `doctor --json` and for bundles."""
        return {"name": self.name, "ok": self.ok, "level": self.level, "found": self.found, "mend": self.mend}
