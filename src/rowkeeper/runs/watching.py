"""Which interfaces are watched while a run is at work: those that its source, its destination and the ledger demand."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from rowkeeper.ledger import ledger_endpoints
from rowkeeper.protocols import Destination, Reaching, Source
from rowkeeper.runs.workspace import Workspace


def watching(workspace: Workspace, part: Source | Destination) -> AbstractContextManager[None]:
    """Watches what a part of a pipeline demands, and the ledger, as long as the body lasts.

    Source and destination have a watch each: a run whose destination is away may go on into the spool.
    """
    way_out, settings = workspace.site.way_out, workspace.settings
    if way_out is None:
        return nullcontext()
    own = part.endpoints() if isinstance(part, Reaching) else ()
    return way_out.watching((*ledger_endpoints(settings.ledger_url, settings.ledger_via), *own))
