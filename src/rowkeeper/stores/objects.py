"""An object store: S3 and what speaks its protocol, Google's, Azure's; by obstore, through a relay of our own."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast

from rowkeeper.errors import (
    AmbiguousError,
    FrameworkError,
    ObjectChanged,
    ObjectMissing,
    RetryError,
    StoreUnavailable,
)
from rowkeeper.protocols import Site
from rowkeeper.resilience.outcomes import Effect, Happened
from rowkeeper.resilience.policy import CircuitBreaker, Resilience, Retry
from rowkeeper.security.tls import require_tls
from rowkeeper.stores import faults, loop
from rowkeeper.stores.access import Credentials, Token, credentials_of, library, obstore_client
from rowkeeper.stores.declaring import GCS, S3, Azure
from rowkeeper.stores.faults import STORE_ERRORS, Failure
from rowkeeper.stores.ranged import RangedFile
from rowkeeper.stores.relay import FAULT_STATUS, STRANGER_STATUS, Origin, Relay
from rowkeeper.stores.store import Access, ClosedByLast, Item
from rowkeeper.stores.transfers import PART_BYTES, Listing, Range, Upload

if TYPE_CHECKING:
    from obstore import ObjectMeta

T = TypeVar("T")
STORE = Resilience(
    retry=Retry(attempts=6, wait_seconds_initial=0.3, wait_seconds_max=20.0, attempt_seconds_max=90.0),
    breaker=CircuitBreaker(when_open="wait"),
    deadline_seconds=600.0,
)
LIST_CHUNK = 1000


class Client:
    """obstore at work for one bucket."""

    def __init__(self, access: S3 | GCS | Azure, bucket: str, site: Site, token: Token | None) -> None:
        assert site.way_out is not None, "the store is not at work anywhere"
        url = access.url(bucket)
        self.credentials: Credentials | None = credentials_of(access, token)
        origin = Origin(url, access.tls or site.default_tls)
        self.relay = Relay(site.way_out.declaring(access.endpoints(bucket)), origin)
        try:
            make = [
                obstore_client(access, bucket, origin.inside, self.relay.url, self.credentials, retries=each)
                for each in (False, True)
            ]
        except BaseException:
            self.relay.close()
            raise
        self.once, self.again = make


class ObjectStore(ClosedByLast):
    """One bucket of an object store, or a container. Implements FileStore; for any number of threads.

    Connections are made when they are needed, and given back by `close`, or when the last `with` around it ends.

    Args:
        access: who we are there.
        site: the way out, and the breakers and budgets that others share.
        resilience: how requests survive; None is `STORE`.
    """

    def __init__(self, access: S3 | GCS | Azure, bucket: str, site: Site, resilience: Resilience | None = None) -> None:
        super().__init__()
        self._access, self._bucket, self._site = access, bucket, site
        scheme = {S3: "s3", GCS: "gs", Azure: "az"}[type(access)]
        self._place = f"{scheme}://{bucket}"
        self._policy = resilience or STORE
        self._host = access.endpoints(bucket)[0].host
        self._made: Client | None = None

    @property
    def place(self) -> str:
        """Implements ReadableStore."""
        return self._place

    def _let_go(self) -> Sequence[Callable[[], object]]:
        made, self._made = self._made, None
        return [] if made is None else [made.relay.close]

    # ----------------------------------------------------------------------------------------------- reading

    def list(self, folder: str = "") -> Iterator[Item]:
        """Implements FileStore. After an error that passes it goes on behind the last name it was given."""
        obstore = library()

        listing = Listing(
            lambda last: obstore.list(self.client.once, folder or None, offset=last, chunk_size=LIST_CHUNK)
        )
        while (chunk := self.asked("list", "", listing.following)) is not None:
            yield from map(_item, chunk)

    def head(self, name: str) -> Item:
        """Implements ReadableStore."""
        obstore = library()

        def ask() -> Item:
            client = self.client.once
            try:
                return _item(loop.run(lambda: obstore.head_async(client, name)))
            except Exception as error:
                if not faults.is_of_obstore(error) or faults.failure_of(error).status not in (400, 401, 403, 404):
                    raise
                # An answer to HEAD has no body that would say why: the beginning of the file is asked for instead.
                loop.run(lambda: obstore.get_range_async(client, name, start=0, length=1))
                raise

        return self.asked("read", name, ask)

    def read(self, name: str, *, start: int = 0, size: int | None = None, same: Item | None = None) -> bytes:
        """Implements ReadableStore."""
        if size is None:
            same = same or self.head(name)
            size = same.size - start
        return bytes(self._begin(name, same, start, size).result()) if size > 0 else b""

    def open(self, name: str, *, same: Item | None = None, access: Access = "sequence") -> IO[bytes]:
        """Implements ReadableStore."""
        item = same or self.head(name)
        file = RangedFile(
            f"{self._place}/{name}", item.size, lambda start, size: self._begin(name, item, start, size), access
        )
        return cast("IO[bytes]", file)

    def _begin(self, name: str, same: Item | None, start: int, size: int) -> Range:
        return Range(self, name, same, start, size)

    def range_of(self, name: str, same: Item | None, start: int, size: int) -> Callable[[], Awaitable[memoryview]]:
        """What asks for a range of a file that must be the same, in the loop. For ranges that are under way."""
        client = self.client.once  # made here: following references may take a while, and the loop is everybody's
        return lambda: self._range(client, name, same, start, size)

    async def _range(self, client: Any, name: str, same: Item | None, start: int, size: int) -> memoryview:
        obstore = library()

        options: Any = {"range": (start, start + size)}
        if same is not None and same.version:
            options["if_match"] = f'"{same.version}"'
        found = await obstore.get_async(client, name, options=options)
        if same is not None and not _item(found.meta).is_same(same):
            raise faults.changed(self._place, name)
        data = memoryview(await found.bytes_async())
        if len(data) != size:
            raise Failure(None, "", "", short=True)
        return data

    # ----------------------------------------------------------------------------------------------- writing

    def put(self, name: str, data: bytes, *, if_absent: bool = False, if_same: Item | None = None) -> Item:
        """Implements FileStore.

        Where an answer was lost, it is looked whether the file is there as it was sent.
        """
        obstore = library()

        mode: Any = "overwrite"
        if if_absent:
            mode = "create"
        elif if_same is not None:
            mode = {"e_tag": f'"{if_same.version}"'}
        is_conditional = mode != "overwrite"
        sent = 0

        def send() -> Item:
            nonlocal sent
            sent += 1
            client = self.client.once
            result = loop.run(lambda: obstore.put_async(client, name, data, mode=mode, use_multipart=False))
            return Item(name, len(data), _version(result["e_tag"]), None)

        def look() -> Happened[Item] | None:
            with contextlib.suppress(ObjectMissing, ObjectChanged):
                item = self.head(name)
                if item.size == len(data) and self.read(name, same=item) == data:
                    return Happened(item)
            return None

        effect = Effect.WRITE if is_conditional else Effect.READ
        try:
            return self.asked("write", name, send, effect=effect, happened=look if is_conditional else None)
        except ObjectChanged:
            found = look() if sent > 1 else None  # what we sent first may have arrived in the meantime
            if found is not None:
                return found.value
            if if_absent:
                raise faults.exists(self._place, name) from None
            raise

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[Upload]:
        """Implements FileStore: a multipart upload, whose parts obstore tries again by itself, some times.

        One that is given up leaves parts that no reader sees, and that the bucket's own rules remove.
        """
        upload = Upload(self, name)
        with self:
            yield upload
            upload.finish()

    def delete(self, name: str) -> None:
        """Implements FileStore."""
        obstore = library()

        client = self.client.once
        with contextlib.suppress(ObjectMissing):
            self.asked("write", name, lambda: loop.run(lambda: obstore.delete_async(client, name)))

    def copy(self, name: str, to: str) -> None:
        """Implements FileStore. Azure would fetch it from our URL, which has no TLS: there it goes through here."""
        obstore = library()

        if isinstance(self._access, Azure):
            with self.open(name) as source, self.writing(to) as target:
                while piece := source.read(PART_BYTES):
                    target.write(piece)
            return
        client = self.client.once
        self.asked("write", name, lambda: loop.run(lambda: obstore.copy_async(client, name, to)))

    # ----------------------------------------------------------------------------------------------- asking

    @property
    def client(self) -> Client:
        """obstore at work, made when it is needed."""
        with self._lock:
            if self._made is None:
                url = self._access.url(self._bucket)
                require_tls(url, plaintext=self._access.plaintext, name=self._place, setting="plaintext=True")
                self._made = Client(self._access, self._bucket, self._site, self._token)
            return self._made

    @property
    def _token(self) -> Token | None:
        if not isinstance(self._access, GCS) or self._access.service_account is None:
            return None
        from rowkeeper.stores.google import token_of  # noqa: PLC0415 - needs an HTTP client

        return token_of(self._access, self._site)

    def asked(
        self,
        operation: str,
        name: str,
        function: Callable[[], T],
        *,
        effect: Effect = Effect.READ,
        happened: Callable[[], Happened[T] | None] | None = None,
    ) -> T:
        """The result of a request, made again where that helps. Raises in our own words."""
        line = self._site.calls.to(self._host, f"files: {operation}", self._policy, STORE_ERRORS)

        def once() -> T:
            try:
                return function()
            except Failure:
                raise
            except Exception as error:
                understood = self._understood(error)
                if understood is error:
                    raise
                raise understood from None

        try:
            return line.call(once, effect=effect, happened=happened)
        except Failure as error:
            raise faults.told(error, self._place, name) from None
        except (RetryError, AmbiguousError) as error:
            cause = error.__cause__
            if isinstance(cause, Failure):
                raise faults.told(cause, self._place, name) from None
            if isinstance(cause, FrameworkError):
                raise cause from cause.__cause__
            what = f"{self._place}/{name}" if name else self._place
            raise StoreUnavailable(
                f"{what} cannot be had: {error.what}", hint=error.hint or "see whether the store is up, and run again"
            ) from cause
        except OSError as error:
            raise StoreUnavailable(
                f"{self._place} cannot be reached ({type(error).__name__})", hint="see whether the store is up"
            ) from error

    def told(self, name: str, function: Callable[[], T]) -> T:
        """The result of what must not be made again. Raises in our own words."""
        try:
            return function()
        except Exception as error:
            understood = self._understood(error)
            if isinstance(understood, Failure):
                raise faults.told(understood, self._place, name) from None
            if understood is error:
                raise
            raise understood from None

    def _understood(self, error: Exception) -> Exception:
        """What went wrong: what our relay says of it, where it was the relay; otherwise what obstore says."""
        if not faults.is_of_obstore(error):
            return error
        failure = faults.failure_of(error)
        with self._lock:
            made = self._made
        if made is not None:
            if made.credentials is not None and made.credentials.error is not None:
                return made.credentials.error
            if failure.status == STRANGER_STATUS or failure.kind == "Connect":
                led, made.relay.led = made.relay.led, None
                return led or failure
            if failure.status == FAULT_STATUS:
                return made.relay.fault(str(error)) or failure
        return failure


def _item(meta: ObjectMeta) -> Item:
    return Item(meta["path"], meta["size"], _version(meta["e_tag"]), meta["last_modified"])


def _version(e_tag: str | None) -> str:
    return (e_tag or "").strip('"')
