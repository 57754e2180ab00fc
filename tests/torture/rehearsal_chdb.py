"""One insert into chDB with the engine's defaults: `python rehearsal_chdb.py HOME`.

chDB 4.4 acknowledges an insert whose writes failed, and syncs nothing: both must be found.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from chdb import session


def main() -> int:
    """Loads `second`; where `first` is missing, that only. A load that is there is not loaded again."""
    engine: Any = session.Session(str(Path(sys.argv[1]) / "engine"))  # type: ignore[no-untyped-call]
    try:
        engine.query("CREATE TABLE IF NOT EXISTS default.loads (load String, row UInt32) ORDER BY (load, row)")
        present = {line.strip('"') for line in str(engine.query("SELECT DISTINCT load FROM loads")).split()}
        load = "second" if "first" in present else "first"
        if load not in present:
            engine.query(f"INSERT INTO loads SELECT '{load}', number FROM numbers(40)")
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        engine.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
