"""A restore whose ledger is in PostgreSQL takes two steps; one that died between them the next process finishes.

    1. the server commits the ledger
    2. the state folder takes its place

Before the first, a promise stands beside the state folder (see `swapping.py`). As long as it does, nobody goes on
before the server has said whether the first step was taken; then so is the second, or neither was.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rowkeeper.ledger import Transport
from rowkeeper.ledger.ledger import utc_now
from rowkeeper.ledger.server import LastEntry, LedgerServer
from rowkeeper.logs import logger
from rowkeeper.resilience.calls import Calls
from rowkeeper.runs.secrets import password_of
from rowkeeper.runs.swapping import Swap
from rowkeeper.security.egress.gateway import Gateway
from rowkeeper.security.tls import default_tls
from rowkeeper.settings import Settings

log = logger("recovery")
LEDGER_FILES = "ledger.sqlite*"  # of a folder whose ledger is elsewhere: whoever opened it would open another past


@contextmanager
def ledger_server(settings: Settings, calls: Calls, gateway: Gateway) -> Iterator[LedgerServer]:
    """The database of the ledger, which the settings name. References can be followed in the block."""
    assert settings.ledger_url is not None
    transport = Transport(default_tls(settings), settings.ledger_plaintext)
    with LedgerServer.open(
        settings.ledger_url,
        utc_now,
        calls,
        transport=transport,
        password=password_of(settings),
        way_out=gateway,
    ) as server:
        yield server


def finish_restore(settings: Settings, calls: Calls, gateway: Gateway) -> None:
    """Settles a restore that died after its promise. References can be followed.

    Raises:
        StateInUse: it is under way.
        CommitUnknown: its ledger's server cannot be asked.
        RestorePlaceUnfit: its folder cannot take its place.
    """
    swap = Swap(settings.home)
    if swap.promised() is None:
        return
    with swap.settling(), ledger_server(settings, calls, gateway) as server:
        promised = swap.promised()
        if promised is None:  # whoever held it has finished it meanwhile
            return
        if server.holds(LastEntry(**promised)):
            aside = put_without_ledger(swap)
            log.warning("restore finished", folder=str(swap.target), aside=None if aside is None else str(aside))
        else:
            swap.withdraw()
            log.warning("restore given up", folder=str(swap.target))


def put_without_ledger(swap: Swap) -> Path | None:
    """Puts a folder in its place whose ledger is in PostgreSQL by now. Returns and raises as `Swap.put_in_place`."""
    for path in swap.draft.glob(LEDGER_FILES):
        path.unlink()
    return swap.put_in_place()
