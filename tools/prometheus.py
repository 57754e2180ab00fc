"""Brings Debian's Prometheus and Alertmanager into the virtual environment, for tests: `python -m tools.prometheus`.

No wheel carries them, and nothing has to be installed for them: each package is downloaded (apt checks it against
Debian's signatures) and unpacked, by whoever runs this; the programs need the C library alone. Where there is no
apt, or no network, the tests that need them are skipped and say so.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(sys.prefix) / "prometheus"
PACKAGES = {
    "prometheus": ("prometheus", "promtool"),
    "prometheus-alertmanager": ("prometheus-alertmanager", "amtool"),
}
SECONDS_MAX = 180.0
PATIENCE = ("-o", "Acquire::http::Timeout=15", "-o", "Acquire::Retries=1")


def program(name: str) -> Path | None:
    """Where the program is: in the PATH, or as it was brought here; None if it is nowhere."""
    here = FOLDER / "usr" / "bin" / name
    if here.exists():
        return here
    found = shutil.which(name)
    return Path(found) if found else None


def bring() -> str:
    """Brings what is not there; why it cannot, or nothing."""
    missing = [package for package, programs in PACKAGES.items() if not all(program(name) for name in programs)]
    unpack = shutil.which("dpkg-deb")
    if missing and (shutil.which("apt-get") is None or unpack is None):
        return "there is no apt-get on this machine"
    return "; ".join(filter(None, (_brought(package, str(unpack)) for package in missing)))


def _brought(package: str, unpack: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = _downloaded(package, Path(folder), ()) or _downloaded_by_own_lists(package, Path(folder))
            if found is None:
                return f"apt-get cannot download the package {package}"
            subprocess.run([unpack, "-x", str(found), str(FOLDER)], check=True, timeout=SECONDS_MAX)
        except (subprocess.SubprocessError, OSError) as error:
            return f"{package} could not be brought: {type(error).__name__}"
    return ""


def _downloaded(package: str, folder: Path, options: tuple[str, ...]) -> Path | None:
    command = ["apt-get", "download", "--quiet", *PATIENCE, *options, package]
    subprocess.run(command, cwd=folder, check=False, capture_output=True, timeout=SECONDS_MAX)
    return next(folder.glob(f"{package}_*.deb"), None)


def _downloaded_by_own_lists(package: str, folder: Path) -> Path | None:
    """On a fresh machine apt knows no packages yet; whoever is not root may keep lists of their own."""
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    own = ("-o", f"Dir::State::lists={folder / 'lists'}", "-o", f"Dir::Cache={folder / 'cache'}")
    update = ["apt-get", "update", "--quiet", *PATIENCE, *own]
    subprocess.run(update, check=False, capture_output=True, timeout=SECONDS_MAX)
    return _downloaded(package, folder, own)


if __name__ == "__main__":
    reason = bring()
    print(f"not all of Prometheus for the tests: {reason}" if reason else f"Prometheus: {program('prometheus')}")
