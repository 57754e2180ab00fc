"""The final table, and the bad points in full."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from tests.torture.judging import Findings
from tests.torture.proving import Proved

COLUMNS = ("rows_lost", "rows_doubled", "half_published", "misbooked", "stranded", "tracebacks")
BAD_SHOWN_MAX = 20


class Tally:
    """Collects what each proof found, and says it at the end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rows: list[tuple[str, str, Proved]] = []
        self._skipped: list[str] = []

    def add(self, proof: str, workload: str, proved: Proved) -> None:
        """One proof and its points."""
        self._rows.append((proof, workload, proved))

    def skip(self, proof: str, why: str) -> None:
        """One proof that could not be made here."""
        self._skipped.append(f"{proof}: skipped, {why}")

    @property
    def is_good(self) -> bool:
        """Nothing was found, at any point."""
        return all(point.is_good for *_, proved in self._rows for point in proved.points)

    def show(self) -> None:
        """Prints the bad points, the table, the sum."""
        bad = [(proof, point) for proof, _, proved in self._rows for point in proved.points if not point.is_good]
        for proof, point in bad[:BAD_SHOWN_MAX]:
            self._console.print(f"[red]{proof}[/]: {point.point}", highlight=False, soft_wrap=True)
            for note in point.notes:
                self._console.print(f"    {note}", highlight=False, soft_wrap=True, markup=False)
        if len(bad) > BAD_SHOWN_MAX:
            self._console.print(f"... and {len(bad) - BAD_SHOWN_MAX} more bad points")
        table = Table(
            "proof", "workload", "points", "s a point", *(name.replace("_", " ") for name in COLUMNS), "about"
        )
        for proof, workload, proved in self._rows:
            each = f"{proved.seconds / max(1, len(proved.points)):.2f}"
            table.add_row(proof, workload, str(len(proved.points)), each, *self._sums(proved.points), proved.about)
        self._console.print(table)
        for line in self._skipped:
            self._console.print(line)
        every = [point for *_, proved in self._rows for point in proved.points]
        sums = zip(COLUMNS, self._sums(every), strict=True)
        said = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in sums)
        self._console.print(f"points tried {len(every)}, {said}", highlight=False)

    def _sums(self, points: Sequence[Findings]) -> list[str]:
        return [str(sum(getattr(point, name) for point in points)) for name in COLUMNS]
