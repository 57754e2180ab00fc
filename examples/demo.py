"""`make demo`: the main job on real data, twice, and what it leaves behind.

Everything here is done by the commands that a user would type; they are printed before they run.
"""

import os
import subprocess
import sys
from pathlib import Path

ROWKEEPER = Path(sys.executable).parent / "rowkeeper"
PIPELINES = "examples/flights.py"


def command(*words: str) -> None:
    print("\n$ rowkeeper " + " ".join(word if " " not in word else f'"{word}"' for word in words), flush=True)
    subprocess.run([ROWKEEPER, *words], check=True)


def main() -> None:
    os.chdir(Path(__file__).parent.parent)
    print("336,776 flights, through a contract that requires a tail number, into the embedded ClickHouse:")
    command("run", PIPELINES)
    print("\nThe same again commits nothing new, and says why:")
    command("run", f"{PIPELINES}:flights")
    home = os.environ.get("ROWKEEPER_HOME", ".rowkeeper")
    print(
        f"""
The tables are in the embedded ClickHouse under {home}/engine, encrypted; the account of each run is in the ledger.
Three things to try next (with .venv/bin on the PATH):

  rowkeeper query "SELECT name, count() FROM flights JOIN airlines USING carrier GROUP BY 1 ORDER BY 2 DESC"
  rowkeeper quarantine show 1          the flights without a tail number, with file, line and reason
  rowkeeper verify {PIPELINES}  recompute what is in the tables, and compare it with the books
"""
    )


if __name__ == "__main__":
    main()
