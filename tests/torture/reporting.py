"""The final table, and the bad points in full."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from tests.torture.judging import Findings

COLUMNS = ("rows_lost", "rows_doubled", "half_published", "misbooked", "stranded", "tracebacks")
BAD_SHOWN_MAX = 20


class Tally:
    """Collects what each proof found, and says it at the end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rows: list[tuple[str, str, str, float, list[Findings]]] = []
        self._skipped: list[str] = []

    def add(self, proof: str, workload: str, about: str, seconds: float, points: Sequence[Findings]) -> None:
        """One proof and its points."""
        self._rows.append((proof, workload, about, seconds, list(points)))

    def skip(self, proof: str, why: str) -> None:
        """One proof that could not be made here."""
        self._skipped.append(f"{proof}: skipped, {why}")

    @property
    def is_good(self) -> bool:
        """Nothing was found, at any point."""
        return all(point.is_good for *_, points in self._rows for point in points)

    def show(self) -> None:
        """Prints the bad points, the table, the sum."""
        bad = [(proof, point) for proof, *_, points in self._rows for point in points if not point.is_good]
        for proof, point in bad[:BAD_SHOWN_MAX]:
            self._console.print(f"[red]{proof}[/]: {point.point}", highlight=False, soft_wrap=True)
            for note in point.notes:
                self._console.print(f"    {note}", highlight=False, soft_wrap=True, markup=False)
        if len(bad) > BAD_SHOWN_MAX:
            self._console.print(f"... and {len(bad) - BAD_SHOWN_MAX} more bad points")
        table = Table(
            "proof", "workload", "points", "s a point", *(name.replace("_", " ") for name in COLUMNS), "about"
        )
        for proof, workload, about, seconds, points in self._rows:
            each = f"{seconds / max(1, len(points)):.2f}"
            table.add_row(proof, workload, str(len(points)), each, *self._sums(points), about)
        self._console.print(table)
        for line in self._skipped:
            self._console.print(line)
        every = [point for *_, points in self._rows for point in points]
        sums = zip(COLUMNS, self._sums(every), strict=True)
        said = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in sums)
        self._console.print(f"points tried {len(every)}, {said}", highlight=False)

    def _sums(self, points: Sequence[Findings]) -> list[str]:
        return [str(sum(getattr(point, name) for point in points)) for name in COLUMNS]
