"""Checkpoints of the audit trail are brought to a URL and to witnesses, where somebody who puts back an older copy of
the ledger, with all that lies beside it, cannot reach them.

Nothing waits for it: entries are committed first. It is done when a workspace is closed, for a few seconds at most, and
by `rowkeeper audit send`, which the worker gives while something is not delivered. What every place lacks is in the
ledger (`deliveries.py`); a place that fails is left alone for longer and longer.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rowkeeper.errors import AuditBroken, CheckpointNotSent, FrameworkError, SettingsError, WitnessDiffers
from rowkeeper.ledger import Ledger
from rowkeeper.ledger.audit.deliveries import Delivery, Growth, growth
from rowkeeper.ledger.audit.merkle import ProofInvalid
from rowkeeper.ledger.audit.notes import open_checkpoint
from rowkeeper.ledger.audit.outside import write_outside
from rowkeeper.ledger.audit.witness import SIZE_TYPE, Cosigner, check_cosignatures, cosigned, seen_size, submission
from rowkeeper.logs import failure, logger
from rowkeeper.protocols import WayOut
from rowkeeper.resilience.deadline import deadline, process_is_ending, seconds_left
from rowkeeper.security.egress.gateway import Gateway
from rowkeeper.security.references import resolve
from rowkeeper.security.tls import default_tls
from rowkeeper.settings import Settings

if TYPE_CHECKING:
    import httpx

SECONDS_MAX = 10.0  # for one request
CLOSING_SECONDS_MAX = 5.0  # for all places, when a workspace is closed
SUBMISSIONS_MAX = 4  # to one witness: what it has seen is known after the first, unless others submit at the same time
ANSWER_BYTES_MAX = 100_000
PLAIN = {"content-type": "text/plain; charset=utf-8"}
FOLDER = "audit"  # in the state folder

log = logger("audit")


class Place(Protocol):
    """Where checkpoints are brought to.

    Attributes:
        name: by which the ledger and people know it.
        url: where it is.
    """

    @property
    def name(self) -> str:
        """By which the ledger and people know it."""

    @property
    def url(self) -> str:
        """Where it is."""

    def bring(self, client: httpx.Client, ledger: Ledger, known: Delivery) -> tuple[int, str]:
        """Brings the newest checkpoint. Returns its size, and the note that is to be kept.

        Raises:
            CheckpointNotSent: it did not take it.
            WitnessDiffers: it has seen another trail.
        """

    def kept(self, client: httpx.Client, ledger: Ledger) -> str | None:
        """The checkpoint that it has; None if it has none. Raises as `bring`."""


@dataclasses.dataclass(frozen=True, slots=True)
class UrlPlace:
    """A URL that is written with PUT or POST, and read with GET.

    Attributes:
        token: a reference to its bearer token.
    """

    url: str
    method: str = "PUT"
    token: str | None = None

    @property
    def name(self) -> str:
        """Implements Place."""
        return self.url

    def bring(self, client: httpx.Client, ledger: Ledger, known: Delivery) -> tuple[int, str]:
        """Implements Place."""
        del known  # whatever it has, the newest takes its place
        now = growth(ledger.audit, 0)
        self._spare(client, ledger, now)
        answer = _asked(client, self, self.method, self.url, body=now.note, headers=self._headers())
        if not 200 <= answer.status <= 299:
            raise CheckpointNotSent(f"{self.url} answered {answer.status}", hint="see to that server")
        return now.size, now.note

    def _spare(self, client: httpx.Client, ledger: Ledger, now: Growth) -> None:
        """Raises WitnessDiffers rather than put an older checkpoint in the place of a newer one."""
        answer = _asked(client, self, "GET", self.url, headers=self._headers())
        try:
            there = open_checkpoint(answer.text, ledger.audit.verifiers)
        except ProofInvalid:
            return  # there is none yet, or it is not ours, or it may not be read
        if there.size > now.size:
            raise WitnessDiffers(
                f"{self.url} has the checkpoint of {there.size:,} entries, and the ledger has {now.size:,}: the ledger "
                "was put back from an older copy",
                hint="rowkeeper audit verify tells more",
            )

    def kept(self, client: httpx.Client, ledger: Ledger) -> str | None:
        """Implements Place."""
        del ledger
        answer = _asked(client, self, "GET", self.url, headers=self._headers())
        if answer.status in (404, 410):
            return None
        if answer.status != 200:
            raise CheckpointNotSent(
                f"{self.url} answered {answer.status} when it was asked for the checkpoint",
                hint="let it be read as well as written",
            )
        return answer.text

    def _headers(self) -> dict[str, str]:
        if self.token is None:
            return PLAIN
        return PLAIN | {"authorization": f"Bearer {resolve(self.token).reveal()}"}


@dataclasses.dataclass(frozen=True, slots=True)
class WitnessPlace:
    """A witness (c2sp.org/tlog-witness).

    Attributes:
        url: its submission prefix.
        cosigner: its public key.
    """

    url: str
    cosigner: Cosigner

    @property
    def name(self) -> str:
        """Implements Place."""
        return f"witness {self.cosigner.name}"

    def bring(self, client: httpx.Client, ledger: Ledger, known: Delivery) -> tuple[int, str]:
        """Implements Place: lets it cosign, beginning where it is thought to be."""
        old_size = known.size
        for _ in range(SUBMISSIONS_MAX):
            now = growth(ledger.audit, old_size)
            if old_size > now.size:
                raise WitnessDiffers(
                    f"{self.name} has cosigned {old_size:,} entries, and the ledger has {now.size:,}: the ledger was "
                    "put back from an older copy",
                    hint="rowkeeper audit verify tells more",
                )
            body = submission(old_size, now.proof, now.note)
            answer = _asked(client, self, "POST", f"{self.url.rstrip('/')}/add-checkpoint", body=body, headers=PLAIN)
            if answer.status == 200:
                return now.size, self._cosigned(now.note, answer.text)
            told, old_size = old_size, self._seen(answer)
            if told == old_size == now.size:
                raise self._differs()
        raise CheckpointNotSent(f"{self.name} is busy with other processes' checkpoints", hint="it is tried again")

    def _differs(self) -> WitnessDiffers:
        return WitnessDiffers(
            f"{self.name} does not find in the ledger's entries those that it has cosigned",
            hint="rowkeeper audit verify tells more",
        )

    def kept(self, client: httpx.Client, ledger: Ledger) -> str | None:
        """Implements Place. It gives nothing back; so it is asked to cosign what the ledger has now.

        It is told that it has seen nothing, so that it says what it has seen, whatever is noted in the ledger.
        """
        return self.bring(client, ledger, Delivery())[1] if ledger.audit.head()[0] else None

    def _cosigned(self, note: str, answer: str) -> str:
        try:
            return cosigned(note, answer, self.cosigner)[0]
        except ProofInvalid as fault:
            raise CheckpointNotSent(f"the answer of {self.name}: {fault}", hint="see to its key's name") from fault

    def _seen(self, answer: _Answer) -> int:
        """What the witness has seen, if that is why it refused."""
        status = answer.status
        if status == 422:
            raise self._differs()
        if status in (403, 404):
            raise CheckpointNotSent(
                f"{self.name} does not know this log or its key ({status})",
                hint="make it known there: rowkeeper audit key",
            )
        if status != 409 or answer.kind != SIZE_TYPE:
            raise CheckpointNotSent(f"{self.name} answered {status}", hint="see to that server")
        try:
            return seen_size(answer.text)
        except ProofInvalid as fault:
            raise CheckpointNotSent(f"the answer of {self.name}: {fault}", hint="see to that server") from fault


@dataclasses.dataclass(frozen=True, slots=True)
class _Answer:
    """What a server answered: its status, its media type without parameters, its text."""

    status: int
    kind: str
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Sent:
    """How it went with one place.

    Attributes:
        size: entries that it knows of now.
        lag: entries that it does not.
        error: why not.
    """

    place: str
    size: int
    lag: int
    error: FrameworkError | None = None


class Checkpoints:
    """Brings the checkpoints of a ledger to where the settings say.

    Args:
        way_out: leads there; the settings declare these hosts.
        folder: the state folder, in which what a witness cosigned is kept.
    """

    def __init__(self, settings: Settings, ledger: Ledger, way_out: WayOut, folder: Path) -> None:
        self._settings = settings
        self._ledger = ledger
        self._way_out = way_out
        self._folder = folder / FOLDER
        self.places = places_of(settings)

    def lags(self) -> list[tuple[Place, Delivery, int]]:
        """For each place what it has, and how many entries it lacks."""
        if not self.places:
            return []
        size, _ = self._ledger.audit.head()
        known = [(place, self._ledger.deliveries.of(place.name)) for place in self.places]
        return [(place, has, max(0, size - has.size)) for place, has in known]

    def due(self) -> list[Place]:
        """Places that lack something, and are not left alone now."""
        if not self.places:
            return []
        size, _ = self._ledger.audit.head()
        return [place for place in self.places if self._ledger.deliveries.is_due(place.name, size)]

    def send(self, places: Sequence[Place]) -> list[Sent]:
        """Brings the newest checkpoint to each. What goes wrong is noted in the ledger, and told."""
        return [self._send(place) for place in places]

    def _send(self, place: Place) -> Sent:
        deliveries = self._ledger.deliveries
        known = deliveries.of(place.name)
        try:
            with self._client(place) as client:
                size, note = place.bring(client, self._ledger, known)
        except (CheckpointNotSent, AuditBroken) as error:
            deliveries.failed(place.name, error.what)
            log.warning("checkpoint not delivered", place=place.name, **failure(error))
            return Sent(place.name, known.size, self._ledger.audit.head()[0] - known.size, error)
        self._keep(place, size, note)
        return Sent(place.name, size, self._ledger.audit.head()[0] - size)

    def send_when_closing(self) -> None:
        """Sends what is due when a command has ended: briefly."""
        if process_is_ending():
            return
        with deadline(CLOSING_SECONDS_MAX):
            self.send_due()

    def send_due(self) -> None:
        """Sends to the places that lack something, without a word but in the log."""
        try:
            self.send(self.due())
        except FrameworkError as error:
            log.warning("checkpoint not delivered", **failure(error))

    def kept_elsewhere(self) -> Iterator[tuple[Place, str | FrameworkError | None]]:
        """What each place has, as it says itself; or why that cannot be told."""
        for place in self.places:
            try:
                with self._client(place) as client:
                    note = place.kept(client, self._ledger)
            except (CheckpointNotSent, AuditBroken) as error:
                self._ledger.deliveries.failed(place.name, error.what)
                yield place, error
            else:
                yield place, note

    def cosigned_files(self) -> dict[str, str]:
        """What witnesses cosigned, as it was kept beside the ledger; of others than the settings name, nothing."""
        found = {}
        for place in self.places:
            path = self._file(place)
            with contextlib.suppress(FileNotFoundError):
                if path is not None:
                    found[str(path)] = path.read_text("utf-8")
        return found

    def _keep(self, place: Place, size: int, note: str) -> None:
        self._ledger.deliveries.delivered(place.name, size, note)
        path = self._file(place)
        if path is not None:
            write_outside(path, note)

    def _file(self, place: Place) -> Path | None:
        return self._folder / f"cosigned-{place.cosigner.id.hex()}" if isinstance(place, WitnessPlace) else None

    @contextlib.contextmanager
    def _client(self, place: Place) -> Iterator[httpx.Client]:
        from rowkeeper.security.egress.http import http_client  # noqa: PLC0415 - of an extra, and slow to import

        made = http_client(self._way_out, name=place.name, tls=default_tls(self._settings), seconds_max=SECONDS_MAX)
        try:
            with made as client:
                yield client
        except (CheckpointNotSent, AuditBroken):
            raise
        except FrameworkError as error:  # of the way there: refused, not secure, out of time
            raise CheckpointNotSent(f"{place.name}: {error.what}", hint=error.hint) from error


def places_of(settings: Settings) -> tuple[Place, ...]:
    """Those that the settings name. Raises SettingsError for a witness's key that is none."""
    found: list[Place] = []
    if settings.audit_url is not None:
        found.append(UrlPlace(settings.audit_url, settings.audit_url_method, settings.audit_url_token))
    for each in settings.audit_witnesses:
        url, _, key = each.partition(" ")
        try:
            found.append(WitnessPlace(url, Cosigner.parse(key)))
        except ProofInvalid as fault:
            raise SettingsError(
                f"audit_witnesses: {fault}", hint="URL NAME+ID+BASE64, as the witness's operator publishes it"
            ) from fault
    return tuple(found)


def checked_cosignature(place: Place, note: str) -> None:
    """Raises ProofInvalid unless a note that a witness gave or that was kept has its cosignature."""
    if isinstance(place, WitnessPlace):
        check_cosignatures(note, place.cosigner)


@contextlib.contextmanager
def checkpoints_sent(settings: Settings, ledger: Ledger, gateway: Gateway, folder: Path) -> Iterator[Checkpoints]:
    """In the block the ledger is used; at its end what is due is sent."""
    checkpoints = Checkpoints(settings, ledger, gateway, folder)
    try:
        yield checkpoints
    finally:
        checkpoints.send_when_closing()


def _asked(
    client: httpx.Client, place: Place, method: str, url: str, *, body: str | None = None, headers: dict[str, str]
) -> _Answer:
    """One request. Raises CheckpointNotSent if there was no answer, or one that is much too long."""
    import httpx  # noqa: PLC0415 - of an extra, and slow to import

    content = None if body is None else body.encode()
    try:
        with client.stream(method, url, content=content, headers=headers, timeout=seconds_left(SECONDS_MAX)) as answer:
            size = 0
            pieces = []
            for piece in answer.iter_bytes():
                size += len(piece)
                if size > ANSWER_BYTES_MAX:
                    raise CheckpointNotSent(f"the answer of {place.name} is much too long", hint="see to that server")
                pieces.append(piece)
            kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
            return _Answer(answer.status_code, kind, b"".join(pieces).decode("utf-8", "replace"))
    except httpx.HTTPError as error:
        raise CheckpointNotSent(
            f"{place.name} does not answer ({type(error).__name__})", hint="it is tried again; see to that server"
        ) from error
