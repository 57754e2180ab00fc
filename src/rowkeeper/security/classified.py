"""The mark of a field whose values are not for everybody."""

from __future__ import annotations

import dataclasses

from rowkeeper.errors import DeclarationError


@dataclasses.dataclass(frozen=True, slots=True)
class Classified:
    """Marks a contract's field: `Annotated[str, rk.Classified("identifier")]`.

    Its values are in no profile, page, sample or error; a protection beside it (`rk.Pseudonymise()`), or one in the
    policy file, keeps them out of the table as well.

    Args:
        label: what kind of data it is, in your own words. Dots make groups: what a policy says of `pii` is said of
            `pii.email` as well.
    """

    label: str

    def __post_init__(self) -> None:
        if not isinstance(self.label, str) or not self.label.strip():
            raise DeclarationError(
                f"Classified({self.label!r}) names no kind of data", hint='such as rk.Classified("pii.email")'
            )
