"""Files that web servers give out: known by ETag and Last-Modified, read in ranges where the server does those.

Names are URLs, all of one host. A server that does no ranges is read from the beginning; where it breaks off, the file
is asked for again, and what was read already is passed over.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime
import functools
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import IO, TYPE_CHECKING, TypeVar, cast

from rowkeeper.endpoints import place_of_url
from rowkeeper.errors import (
    AmbiguousError,
    FrameworkError,
    ObjectMissing,
    RetryError,
    StoreUnauthorised,
    StoreUnavailable,
    StoreUnfit,
)
from rowkeeper.protocols import Site
from rowkeeper.resilience.clock import SYSTEM_CLOCK
from rowkeeper.resilience.deadline import carried
from rowkeeper.resilience.outcomes import Effect
from rowkeeper.resilience.policy import Resilience
from rowkeeper.security.httpauth import Credentials, Outgoing
from rowkeeper.stores import faults
from rowkeeper.stores.declaring import Download
from rowkeeper.stores.faults import STORE_ERRORS, Failure
from rowkeeper.stores.objects import STORE
from rowkeeper.stores.ranged import RangedFile
from rowkeeper.stores.store import Access, ClosedByLast, Item

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
STEP_SECONDS_MAX = 30.0
AT_A_TIME = 4
NO_SUCH_METHOD = (405, 501)
PASSED_OVER_BYTES = 1 << 20


class Downloads(ClosedByLast):
    """A web server. Implements ReadableStore; for any number of threads.

    Args:
        url: of one of its files.
        access: what is sent to it.
        site: the way out, and the breakers and budgets that others share.
        resilience: how requests survive; None is `STORE`.
    """

    def __init__(self, url: str, access: Download, site: Site, resilience: Resilience | None = None) -> None:
        super().__init__()
        self._scheme, self._host, self._port = place_of_url(url)
        self._url, self._access, self._site, self._policy = url, access, site, resilience or STORE
        self._http: httpx.Client | None = None
        self._threads: concurrent.futures.ThreadPoolExecutor | None = None
        self._credentials: Credentials | None = None

    @property
    def place(self) -> str:
        """Implements ReadableStore."""
        return f"{self._scheme}://{self._host}"

    def _let_go(self) -> Sequence[Callable[[], object]]:
        client, threads = self._http, self._threads
        self._http = self._threads = self._credentials = None
        ended = [] if threads is None else [functools.partial(threads.shutdown, wait=True, cancel_futures=True)]
        return [*ended, *([] if client is None else [client.close])]

    def head(self, name: str) -> Item:
        """Implements ReadableStore. The size is -1 where the server does not say it."""
        return self._about(name)[0]

    def read(self, name: str, *, start: int = 0, size: int | None = None, same: Item | None = None) -> bytes:
        """Implements ReadableStore."""
        with self.open(name, same=same) as file:
            file.seek(start)
            return file.read(-1 if size is None else size)

    def open(self, name: str, *, same: Item | None = None, access: Access = "sequence") -> IO[bytes]:
        """Implements ReadableStore. Raises StoreUnfit if it is to be read here and there, and there are no ranges."""
        item, has_ranges = self._about(name)
        if same is not None and not item.is_same(same):
            raise faults.changed(self.place, _below(name))
        if has_ranges:
            file: io.RawIOBase = RangedFile(
                name, item.size, lambda start, size: _Piece(self, name, item, start, size), access
            )
        else:
            if access == "random":
                raise StoreUnfit(
                    f"{_short(name)} cannot be read from its end: {self._host} gives no ranges of a file",
                    hint="fetch it first, or put it into an object store; formats that are read from their beginning "
                    "(CSV, NDJSON, JSON, Avro) need no ranges",
                )
            file = _Stream(self, name, item)
        return cast("IO[bytes]", file)

    # ----------------------------------------------------------------------------------------------- requests

    def _about(self, name: str) -> tuple[Item, bool]:
        """What the server says of a file, and whether it gives ranges of it."""

        def once() -> tuple[Item, bool]:
            try:
                with self._answer("HEAD", name, {}) as response:
                    return _item(name, response.headers), _does_ranges(response.headers)
            except Failure as error:
                if error.status not in NO_SUCH_METHOD:
                    raise
            with self._answer("GET", name, {"Range": "bytes=0-0"}) as response:
                return _item(name, response.headers), response.status_code == 206 and _does_ranges(response.headers)

        return self.asked(name, once)

    def range_of(self, name: str, same: Item, start: int, size: int) -> bytes:
        """One request for a range of a file that must be the same."""
        headers = {"Range": f"bytes={start}-{start + size - 1}", **_if_same(same)}
        with self._answer("GET", name, headers) as response:
            self._check_same(name, response.headers, same)
            if response.status_code != 206 and not (start == 0 and size == same.size):
                raise StoreUnfit(
                    f"{self._host} says that it gives ranges of {_short(name)}, and gives all of it",
                    hint="fetch it first, or see to that server",
                )
            data = b"".join(response.iter_raw())
        if len(data) != size:
            raise Failure(None, "", "", short=True)
        return data

    @contextlib.contextmanager
    def from_beginning(self, name: str, same: Item) -> Iterator[Iterator[bytes]]:
        """The content of a file that must be the same, as it comes."""
        with self._answer("GET", name, _if_same(same)) as response:
            self._check_same(name, response.headers, same)
            yield response.iter_raw()

    def threads(self) -> concurrent.futures.ThreadPoolExecutor:
        """Where ranges are fetched ahead."""
        with self._lock:
            if self._threads is None:
                self._threads = concurrent.futures.ThreadPoolExecutor(AT_A_TIME, "rowkeeper-download")
            return self._threads

    def asked(self, name: str, function: Callable[[], T]) -> T:
        """The result of a request, made again where that helps. Raises in our own words."""
        import httpx  # noqa: PLC0415 - of an extra

        line = self._site.calls.to(self._host, "files: read", self._policy, STORE_ERRORS)
        try:
            return line.call(function, effect=Effect.READ)
        except Failure as error:
            raise self._told(error, name) from None
        except (RetryError, AmbiguousError) as error:
            cause = error.__cause__
            if isinstance(cause, Failure):
                raise self._told(cause, name) from None
            if isinstance(cause, FrameworkError):
                raise cause from cause.__cause__
            raise _unreachable(name, cause or error) from cause
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise _unreachable(name, error) from error

    @contextlib.contextmanager
    def _answer(self, method: str, name: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        client = self._client()
        signed: Mapping[str, str] = {}
        if self._credentials is not None:
            signed = self._credentials.headers(Outgoing(method, name, b"", SYSTEM_CLOCK.now()))
        with client.stream(method, name, headers={**headers, **signed}) as response:
            if response.status_code == 401 and self._credentials is not None:
                self._credentials.renew()
            if response.status_code >= 300:
                raise Failure(response.status_code, "", "")
            packed = response.headers.get("content-encoding", "identity").strip().lower()
            if packed not in ("", "identity"):
                raise StoreUnfit(
                    f"{self._host} packs {_short(name)} as {packed[:20]!r}, unasked",
                    hint="see to that server: a file has to come as it is",
                )
            yield response

    def _client(self) -> httpx.Client:
        from rowkeeper.security.egress.http import http_client  # noqa: PLC0415 - of an extra, and slow to import

        with self._lock:
            if self._http is None:
                from rowkeeper.stores.address import address_of  # noqa: PLC0415
                from rowkeeper.stores.opening import endpoints_of  # noqa: PLC0415 - knows this module

                assert self._site.way_out is not None, "the store is not at work anywhere"
                self._http = http_client(
                    self._site.way_out.declaring(endpoints_of(address_of(self._url), self._access)),
                    name=f"the files at {self._host}",
                    tls=self._access.tls or self._site.default_tls,
                    plaintext=self._access.plaintext,
                    headers={"Accept": "*/*", "Accept-Encoding": "identity", **self._access.headers},
                    seconds_max=STEP_SECONDS_MAX,
                )
                if self._access.auth is not None:
                    self._credentials = self._access.auth.opened(_no_form)
            return self._http

    def _check_same(self, name: str, headers: Mapping[str, str], same: Item) -> None:
        version, modified = _version(headers), _modified(headers)
        is_same = version == same.version if version or same.version else modified == same.modified
        if not is_same:
            raise faults.changed(self.place, _below(name))

    def _told(self, error: Failure, name: str) -> FrameworkError:
        if error.status in (401, 403):
            return StoreUnauthorised(
                f"{self._host} answers {error.status} for {_short(name)}",
                hint="say who we are: access=rk.Download(auth=...), and see to what it refers to",
                context={"status": error.status},
            )
        if error.status in (404, 410):
            return ObjectMissing(f"{self._host} has no {_short(name)}", hint="see to the URL")
        return faults.told(error, self.place, _below(name))


class _Piece:
    """A range on its way. Implements Fetch."""

    def __init__(self, server: Downloads, name: str, same: Item, start: int, size: int) -> None:
        self._server, self._name = server, name
        self._make: Callable[[], bytes] = lambda: server.range_of(name, same, start, size)
        self._begun: concurrent.futures.Future[bytes] | None = server.threads().submit(carried(self._make))

    def result(self) -> bytes:
        """Implements Fetch."""
        return self._server.asked(self._name, self._once)

    def _once(self) -> bytes:
        begun, self._begun = self._begun, None
        return begun.result() if begun is not None else self._make()

    def forget(self) -> None:
        """Implements Fetch."""
        if self._begun is not None:
            self._begun.cancel()


class _Stream(io.RawIOBase):
    """A file of a server without ranges, from its beginning; after a fault what was had is passed over."""

    def __init__(self, server: Downloads, name: str, item: Item) -> None:
        self.name = name
        self._server, self._item = server, item
        self._open = contextlib.ExitStack()
        self._pieces: Iterator[bytes] | None = None
        self._rest = memoryview(b"")
        self._at = 0  # where the next byte is read
        self._come = 0  # how much has come of the answer at hand

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._at

    def seekable(self) -> bool:
        """Only to where it is cheap: further on, or to the beginning."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """Goes on to a place, or back to begin anew."""
        if whence == io.SEEK_END:
            raise StoreUnfit("a file without ranges has no end to begin from", hint="fetch it first")
        to = offset + (self._at if whence == io.SEEK_CUR else 0)
        if to < self._at:
            self._drop()
            self._at = to
            return to
        while self._at < to and self.read(min(PASSED_OVER_BYTES, to - self._at)):
            pass
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """As many bytes as are asked for, unless the file ends before."""
        parts, left = [], size if size is not None and size >= 0 else None
        while left is None or left:
            if not self._rest:
                self._rest = memoryview(self._server.asked(self.name, self._following))
                if not self._rest:
                    break
            part = self._rest if left is None else self._rest[:left]
            self._rest = self._rest[len(part) :]
            self._at += len(part)
            left = None if left is None else left - len(part)
            parts.append(part)
        return b"".join(parts)

    def readinto(self, buffer: object) -> int:
        """The same, into a buffer."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def _following(self) -> bytes:
        try:
            if self._pieces is None:
                self._pieces = self._open.enter_context(self._server.from_beginning(self.name, self._item))
                self._come = 0
            while (piece := next(self._pieces, b"")) or True:
                before, self._come = self._come, self._come + len(piece)
                if not piece and self._item.size >= 0 and self._come < self._item.size:
                    raise Failure(None, "", "", short=True)
                if not piece or self._come > self._at:
                    return piece[max(0, self._at - before) :]
        except BaseException:
            self._drop()
            raise
        raise AssertionError("a file ends")

    def _drop(self) -> None:
        self._open.close()
        self._open = contextlib.ExitStack()
        self._pieces, self._rest = None, memoryview(b"")

    def close(self) -> None:
        """Ends the request."""
        self._drop()
        super().close()


def _item(name: str, headers: Mapping[str, str]) -> Item:
    whole = headers.get("content-range", "").rpartition("/")[2]
    size = whole if whole.isdecimal() else headers.get("content-length", "")
    return Item(name, int(size) if size.isdecimal() else -1, _version(headers), _modified(headers))


def _version(headers: Mapping[str, str]) -> str:
    return headers.get("etag", "").strip()


def _modified(headers: Mapping[str, str]) -> datetime.datetime | None:
    try:
        return parsedate_to_datetime(headers.get("last-modified", ""))
    except ValueError:
        return None


def _does_ranges(headers: Mapping[str, str]) -> bool:
    sized = headers.get("content-length", "").isdecimal() or "content-range" in headers
    return sized and (headers.get("accept-ranges", "").strip().lower() == "bytes" or "content-range" in headers)


def _if_same(same: Item) -> dict[str, str]:
    """A weak ETag matches nothing (RFC 9110, 13.1.1): then it is compared with the answer's."""
    return {"If-Match": same.version} if same.version.startswith('"') else {}


def _short(url: str) -> str:
    """A URL as it is told: without its query."""
    return url.partition("?")[0]


def _below(url: str) -> str:
    """What is behind the host."""
    return _short(url).split("/", 3)[3]


def _unreachable(name: str, error: BaseException) -> StoreUnavailable:
    return StoreUnavailable(
        f"{_short(name)} cannot be had as a whole ({type(error).__name__})",
        hint="see whether the server is up, and run again",
    )


def _no_form(url: str, form: Mapping[str, str], headers: Mapping[str, str]) -> Mapping[str, object]:
    raise StoreUnfit("files are not fetched with OAuth 2 by themselves", hint="give a token: rk.sources.Bearer(...)")
