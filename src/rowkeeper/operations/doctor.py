"""`rowkeeper doctor`: what is wrong with this installation, and the mend.

surroundings.py   versions, user, memory, disk, clock
bookcheck.py      state folder, key, ledger, leases, sealed files, breakers
certcheck.py      certificates that run out
elsewhere.py      checkpoints of the audit trail at their URL and witnesses
policycheck.py    policies that cannot be used, or speak of what is not there
tablecheck.py     the engine, and each table
"""

from __future__ import annotations

from rowkeeper.access import of_installation
from rowkeeper.errors import AccessDenied, FrameworkError
from rowkeeper.operations.bookcheck import examine_books
from rowkeeper.operations.certcheck import examine_certificates
from rowkeeper.operations.elsewhere import examine_elsewhere
from rowkeeper.operations.finding import Finding
from rowkeeper.operations.policycheck import examine_policies
from rowkeeper.operations.surroundings import examine_surroundings
from rowkeeper.operations.tablecheck import examine_tables
from rowkeeper.runs.workspace import Workspace
from rowkeeper.settings import Settings


def diagnose(settings: Settings) -> list[Finding]:
    """Runs every check that can be run: a state folder that cannot be opened is a finding, not the end.

    Raises AccessDenied.
    """
    try:
        with Workspace.open(settings) as workspace:
            return examine(workspace)
    except AccessDenied:
        raise
    except FrameworkError as error:
        unopened = Finding("state folder", False, error.what, error.hint)
        return [*examine_surroundings(settings), unopened]


def examine(workspace: Workspace) -> list[Finding]:
    """The same for an open workspace. A check that finds a fault does not keep the others from running.

    Raises AccessDenied.
    """
    workspace.access.require("health.show", of_installation())
    return [
        *examine_surroundings(workspace.settings),
        *examine_books(workspace),
        *examine_certificates(workspace),
        *examine_elsewhere(workspace),
        *examine_policies(workspace),
        *examine_tables(workspace),
    ]
