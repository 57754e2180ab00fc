"""Whether a version in requirements/dev.lock has a known weakness: `python -m tools.audit`, part of `make lint`.

pip-audit asks the OSV database (https://osv.dev). Where that cannot be reached, nothing is known, and this says so and
passes: a machine without a network can lint. It never waits long.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parent.parent / "requirements" / "dev.lock"
DATABASE = "https://api.osv.dev/v1/query"
SECONDS_MAX = 60.0
REACH_SECONDS_MAX = 3.0
IGNORED: Mapping[str, str] = {}
"""Identifier of an advisory: why it does not concern us."""


def main(lock: Path = LOCK, database: str = DATABASE, seconds_max: float = SECONDS_MAX) -> int:
    """Prints each weakness; 1 if there is any. Prints a notice, and is 0, if the database did not answer."""
    if not _reachable(database):
        return _skipped(f"{database} cannot be reached")
    words = ["-r", str(lock), "--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off"]
    words += ["--vulnerability-service", "osv", "--osv-url", database, "--timeout", "10"]
    for each in IGNORED:
        words += ["--ignore-vuln", each]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pip_audit", *words],
            capture_output=True,
            text=True,
            timeout=seconds_max,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _skipped(f"{database} did not answer in {seconds_max:.0f} s")
    try:
        audited = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):  # it ended without a report: the reason is the last line that it told
        return _skipped((done.stderr.strip().splitlines() or ["pip-audit gave no report"])[-1][:200])
    return _judge(audited)


def _judge(audited: Sequence[Mapping[str, Any]]) -> int:
    weak = 0
    for each in audited:
        for advisory in each.get("vulns", ()):
            fixed = ", ".join(advisory.get("fix_versions") or ()) or "no version"
            print(f"{each['name']} {each['version']}: {advisory['id']}, mended in {fixed}")
            weak += 1
    unknown = [str(each["name"]) for each in audited if "skip_reason" in each]
    if unknown or not audited:
        _skipped(f"nothing is known of {', '.join(unknown) or 'any dependency'}")
    return 1 if weak else 0


def _skipped(why: str) -> int:
    print(f"dependency audit skipped: {why}")
    return 0


def _reachable(database: str) -> bool:
    """Whether a connection can be made, within a few seconds; a name server that is silent would take a minute."""
    import socket  # noqa: PLC0415
    from urllib.parse import urlsplit  # noqa: PLC0415

    if os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy"):
        return True  # it knows the way; pip-audit has a limit of its own
    place = urlsplit(database)
    reached = threading.Event()

    def connect() -> None:
        try:
            with socket.create_connection((place.hostname, place.port or 443), timeout=REACH_SECONDS_MAX):
                reached.set()
        except OSError:
            return

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(REACH_SECONDS_MAX)
    return reached.is_set()


if __name__ == "__main__":
    sys.exit(main())
