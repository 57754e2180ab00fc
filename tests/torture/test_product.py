"""The short form of `make torture`."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.torture.mounting import REPOSITORY, why_no_fuse
from tests.torture.powerloss import why_no_power_loss
from tests.torture.product import why_no_product

MISSING = why_no_product() or why_no_fuse() or why_no_power_loss()


@pytest.mark.root
@pytest.mark.skipif(MISSING is not None, reason=f"torture {MISSING}")
@pytest.mark.timeout(300)
def test_nothing_is_lost_doubled_or_stranded_by_faulty_disks_kills_and_power_losses() -> None:
    """A minute of faults on `rowkeeper run`, evenly spread, leaves what an undisturbed run leaves."""
    command = [sys.executable, "-m", "tests.torture", "--short"]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
