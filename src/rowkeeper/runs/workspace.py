"""Where runs happen: settings, the state folder and the ledger, opened together."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import pyarrow as pa

from rowkeeper import machine
from rowkeeper.access import Access, CedarPermissions
from rowkeeper.access.authentication import Authentication, Rules
from rowkeeper.access.authentication.configured import provider_of
from rowkeeper.destinations import reader_of, server_of, settled_on
from rowkeeper.errors import SettingsError
from rowkeeper.ledger import Auditing, Ledger, Transport
from rowkeeper.ledger.audit.merkle import ProofInvalid
from rowkeeper.ledger.audit.notes import Verifier
from rowkeeper.ledger.ledger import utc_now
from rowkeeper.protocols import DiskKeys, Site
from rowkeeper.resilience.calls import Calls
from rowkeeper.runs.checkpoints import Checkpoints, checkpoints_sent
from rowkeeper.runs.evidence import PlaintextNotes, note_settings
from rowkeeper.runs.journal import journal_kept, log_breaker, log_try
from rowkeeper.runs.reaching import gateway_of
from rowkeeper.runs.restored import finish_restore
from rowkeeper.runs.secrets import password_of, secrets_of
from rowkeeper.runs.sizing import Sizes, save_memory, sizes_of
from rowkeeper.runs.swapping import Swap
from rowkeeper.security.egress.gateway import Gateway
from rowkeeper.security.egress.policy import log_mode
from rowkeeper.security.keysets import AUDIT, ENGINE, QUARANTINE, SAMPLES, SPOOL, Keysets
from rowkeeper.security.references.vault import Vault
from rowkeeper.security.sealing import Seal
from rowkeeper.security.statefolder import StateFolder, open_state_folder
from rowkeeper.security.tls import default_tls
from rowkeeper.security.tls.plaintext import listening
from rowkeeper.settings import Settings


@dataclasses.dataclass(frozen=True, slots=True)
class Workspace:
    """Everything that the life of a run needs besides the pipeline.

    Attributes:
        sizes: how much memory each part of a run may take.
        site: what sources and destinations are told of it.
        quarantine: seals and opens the files of rejected rows.
        samples: seals and opens what quality gates and profiles show of staged rows.
        spool: seals and opens accepted rows that wait for their destination.
        access: asks whether who asks may.
        authentication: knows who asks, of requests to a server.
        calls: breakers and retry budgets for whoever calls other machines, shared with other processes; in `site` too.
        checkpoints: brings those of the audit trail elsewhere.
    """

    settings: Settings
    folder: StateFolder
    ledger: Ledger
    sizes: Sizes
    site: Site
    quarantine: Seal
    samples: Seal
    spool: Seal
    access: Access
    authentication: Authentication
    calls: Calls
    checkpoints: Checkpoints

    @classmethod
    @contextmanager
    def open(cls, settings: Settings) -> Iterator[Self]:
        """Opens the state folder and the ledger, making them at first use, and closes them again."""
        way = Calls(listeners=[log_breaker], observers=[log_try])
        gateway = gateway_of(settings)
        transport = Transport(default_tls(settings), settings.ledger_plaintext)
        plaintext = PlaintextNotes()
        server = server_of(settings)
        with (
            listening(plaintext),
            settled_on(server),
            secrets_of(settings, way, gateway) as vault,
            _restore_finished(settings, way, gateway),
            _folder_opened(settings, vault) as folder,
            Ledger.open(
                settings.ledger_url,
                folder.path,
                calls=way,
                transport=transport,
                auditing=_auditing(settings, folder),
                password=password_of(settings),
                way_out=gateway,
            ) as ledger,
            checkpoints_sent(settings, ledger, gateway, folder.path) as checkpoints,
        ):
            plaintext.follow(ledger)
            note_settings(settings, folder.path, ledger)
            log_mode(settings.egress)
            sizes = sizes_of(settings)
            save_memory(sizes)
            threads = settings.threads or machine.processors()
            pa.set_cpu_count(threads)
            machine.be_nice(settings.nice)
            calls = Calls(store=ledger.breakers, listeners=[log_breaker], observers=[log_try])
            site = Site(
                home=folder.path,
                disk_keys=functools.partial(disk_keys, folder.keysets),
                ledger_id=ledger.id,
                engine_idle_seconds=settings.engine_idle_seconds,
                engine_memory_bytes_max=sizes.statement_bytes,
                engine_total_bytes_max=sizes.engine_bytes,
                engine_threads=threads,
                engine_nice=settings.nice,
                query_seconds_max=settings.query_seconds_max,
                calls=calls,
                way_out=gateway,
                default_tls=transport.tls,
                clickhouse=server,
                clickhouse_reader=reader_of(settings, server),
                keeps_former=settings.backup_to is not None,
            )
            seal = Seal(folder.keysets, QUARANTINE, folder.path / "quarantine")
            samples = Seal(folder.keysets, SAMPLES, folder.path / "samples")
            spool = Seal(folder.keysets, SPOOL, folder.path / "spool")
            permissions = CedarPermissions(folder.path, ledger.grants, settings.access_policies, utc_now)
            access = Access(permissions, ledger.audit)
            provider = functools.partial(provider_of, settings, gateway, ledger.signing_in.clock)
            signing_in = Authentication(ledger, folder.keysets, access, Rules.of(settings), provider=provider)
            yield cls(
                settings, folder, ledger, sizes, site, seal, samples, spool, access, signing_in, calls, checkpoints
            )

    @property
    def keysets(self) -> Keysets:
        """The keys of protected columns, and of classified cells in quarantine."""
        return self.folder.keysets

    def open_keysets(self) -> None:
        """Opens, or makes, what a run seals with, so that a run that begins needs no vault until its end.

        Raises SecurityError.
        """
        for purpose in (AUDIT, ENGINE, QUARANTINE, SAMPLES, SPOOL):
            self.folder.keysets.of(purpose)


@contextmanager
def state_folder(settings: Settings) -> Iterator[StateFolder]:
    """The state folder without its ledger, which may be out of reach. Raises RestoreUnfinished."""
    Swap(settings.home).refuse_promised()
    calls = Calls(listeners=[log_breaker], observers=[log_try])
    with secrets_of(settings, calls, gateway_of(settings)) as vault, _folder_opened(settings, vault) as folder:
        yield folder


@contextmanager
def _restore_finished(settings: Settings, calls: Calls, gateway: Gateway) -> Iterator[None]:
    """What is opened is the state of before a restore or that of after it, also where that died with one half done.

    Raises RestoreUnfinished where the settings do not say which ledger to ask.
    """
    if settings.ledger_url is not None:
        finish_restore(settings, calls, gateway)
    else:
        Swap(settings.home).refuse_promised()
    yield


@contextmanager
def _folder_opened(settings: Settings, vault: Vault | None) -> Iterator[StateFolder]:
    folder = open_state_folder(settings.home, settings.key_reference, vault)
    with journal_kept(settings, folder):
        yield folder


def disk_keys(keysets: Keysets) -> DiskKeys:
    """The keys of the embedded engine's disk as they are now. Raises SecurityError."""
    keyset = keysets.of(ENGINE)
    return DiskKeys(keyset.primary.id, {key.id: key.material for key in keyset.keys})


def _auditing(settings: Settings, folder: StateFolder) -> Auditing:
    own = folder.path / "audit" / "checkpoint"
    outside = (own,) if settings.audit_checkpoint is None else (own, settings.audit_checkpoint.expanduser().absolute())
    return Auditing(lambda: _audit_keys(folder.keysets), tuple(map(_trusted, settings.audit_trusted)), outside)


def _audit_keys(keysets: Keysets) -> tuple[bytes, ...]:
    """The one that signs, then those that signed before it was rotated in."""
    keyset = keysets.of(AUDIT)
    former = [key for key in keyset.keys if key.id != keyset.primary.id]
    return tuple(key.derive("ed25519") for key in (keyset.primary, *former))


def _trusted(text: str) -> Verifier:
    try:
        return Verifier.parse(text)
    except ProofInvalid as fault:
        raise SettingsError(
            f"audit_trusted: {fault}", hint="rowkeeper audit key, on the other machine, prints the key as it is wanted"
        ) from fault
