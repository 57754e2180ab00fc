"""The server: it starts, listens, and stops within ten seconds."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import uvicorn

from rowkeeper.errors import FrameworkError, ListeningRefused
from rowkeeper.ledger.audit import Event
from rowkeeper.logs import failure, logger
from rowkeeper.operations.events import EventCounts
from rowkeeper.runs.workspace import Workspace
from rowkeeper.security.tls import is_local
from rowkeeper.web.app import made_app
from rowkeeper.web.catalogue import Catalogue
from rowkeeper.web.certificate import context_of, names_of, renew_if_due
from rowkeeper.web.front import Front
from rowkeeper.web.governed import Witness
from rowkeeper.web.house import House
from rowkeeper.web.jobs.jobs import Jobs
from rowkeeper.web.kept import Kept
from rowkeeper.web.looker import Looker
from rowkeeper.web.lookout import Lookout
from rowkeeper.web.pool import Pool
from rowkeeper.web.rates import Rates
from rowkeeper.web.wire import Bounds, Connections, Wire

STOP_SECONDS_MAX = 8.0  # for requests that are under way
JOB_SECONDS_MAX = 9.0  # for jobs, which give up by themselves after that
RENEW_SECONDS = 3600.0
BACKLOG = 1024
THREADS_MAX = 16

log = logger("server")


class Serving:
    """What `rowkeeper serve` does.

    Args:
        files: pipeline files, whose pipelines can be run.
        started: is told the address that is listened at, as a URL.
    """

    def __init__(
        self,
        space: Workspace,
        files: Sequence[Path],
        started: Callable[[str], None],
        bounds: Bounds | None = None,
    ) -> None:
        settings = space.settings
        self._space = space
        self._started = started
        self._bounds = bounds or Bounds(connections_max=settings.server_connections_max)
        host, _, port = settings.server_address.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._secure = not settings.server_plaintext
        pool = Pool(min(settings.server_requests_max, THREADS_MAX))
        self.house = House(
            space=space,
            authentication=space.authentication,
            pool=pool,
            callers=Rates(settings.server_caller_rate),
            seconds_max=settings.server_seconds_max,
            jobs=Jobs(space, pool, most=settings.server_jobs_max, seconds_max=settings.worker_run_seconds_max),
            catalogue=Catalogue(files),
            events=EventCounts(space.ledger),
            kept=Kept(self._state) if space.ledger.commits.counted else None,
            started_at=datetime.now(UTC),
            health=Looker(space),
        )
        self.lookout = Lookout(space, self.house.catalogue.good)
        space.access.permissions = Witness(space.access.permissions)
        self.front = Front(
            made_app(self.house),
            hosts=names_of(settings, self._host),
            secure=self._secure,
            requests_max=settings.server_requests_max,
            body_bytes_max=int(settings.server_body_bytes_max),
            rates=Rates(settings.server_address_rate),
        )

    def _state(self, waiting: bool) -> tuple[object, ...] | None:
        """What answers that are kept depend on."""
        rules = self._space.access.permissions.state(waiting=waiting)
        state = self._space.ledger.commits.number(), rules
        return None if None in state else (*state, self.house.catalogue.pipelines)

    def serve(self) -> None:
        """Returns when it was told to stop, and has.

        Raises ListeningRefused, and SecurityError if there is no certificate to show.
        """
        self._refuse_plaintext()
        context = context_of(self._space, self._host) if self._secure else None
        listener = listening(self._host, self._port)
        with contextlib.closing(listener):
            self._note_start()
            self._server = Server(self, listener, context)
            self._server.run()
        self.house.pool.close()

    def stop(self) -> None:
        """Tells it to stop, from another thread; a signal does the same."""
        self._server.should_exit = True

    def _refuse_plaintext(self) -> None:
        if self._secure or is_local(self._host):
            return
        raise ListeningRefused(
            f"the server would listen at {self._host} without TLS",
            hint="unset ROWKEEPER_SERVER_PLAINTEXT; or listen at 127.0.0.1, and put a proxy that speaks TLS before it",
        )

    def _note_start(self) -> None:
        """On the record before anybody is let in."""
        detail = {"address": self._space.settings.server_address, "tls": self._secure}
        self._space.ledger.audit.record(Event("server.start", detail=detail))

    def told(self, listener: socket.socket) -> None:
        """Tells where it listens."""
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        url = f"{'https' if self._secure else 'http'}://{shown}:{port}"
        log.info("listening", address=url)
        self._started(url)

    def wired(self) -> Callable[..., Wire]:
        """What makes the protocol of a connection."""
        return functools.partial(Wire, bounds=self._bounds, lines=Connections(self._bounds.connections_max))

    @property
    def bounds(self) -> Bounds:
        """What a connection may take."""
        return self._bounds

    async def begin(self) -> None:
        """Reads the pipeline files, and begins what goes on beside the requests."""
        await self.house.pool.run(self._space.ledger.jobs.tidy)
        await self.house.catalogue.look()
        beside = [
            self.house.catalogue.keeping(),
            # A worker may not be there to bring the trail's checkpoints elsewhere.
            self._every(self._space.settings.worker_reconcile_seconds, lambda space: space.checkpoints.send_due()),
        ]
        self.lookout.begin()
        if self._secure:
            beside.append(self._every(RENEW_SECONDS, renew_if_due))
        self._beside = [asyncio.create_task(each) for each in beside]

    async def end(self) -> None:
        """Ends it, and the jobs."""
        self.front.stopping = True
        self.house.jobs.stop()
        for each in self._beside:
            each.cancel()
        await asyncio.gather(self.house.jobs.stopped(JOB_SECONDS_MAX), asyncio.to_thread(self.lookout.end))

    async def _every(self, seconds: float, work: Callable[[Workspace], object]) -> None:
        """Does it every so often. What fails now, as the ledger does not answer, may do the next time."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.house.pool.run(work, self._space)
            except FrameworkError as error:
                log.warning("what is done beside the requests failed", **failure(error))


class Server(uvicorn.Server):
    """uvicorn's, listening as we want it to."""

    def __init__(self, serving: Serving, listener: socket.socket, context: ssl.SSLContext | None) -> None:
        super().__init__(
            uvicorn.Config(
                serving.front,
                http=serving.wired(),  # type: ignore[arg-type]
                ws="none",
                lifespan="off",
                loop="uvloop",
                interface="asgi3",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=int(serving.bounds.idle_seconds_max),
                timeout_graceful_shutdown=int(STOP_SECONDS_MAX),
            )
        )
        self._serving = serving
        self._listener = listener
        self._context = context

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens. uvicorn's own cannot bound the time for a handshake."""
        await self.lifespan.startup()
        loop = asyncio.get_running_loop()
        seconds = self._serving.bounds.handshake_seconds_max if self._context else None
        create = functools.partial(self._serving.wired(), config=self.config, server_state=self.server_state)
        server = await loop.create_server(
            lambda: create(app_state={}),
            sock=self._listener,
            ssl=self._context,
            backlog=BACKLOG,
            ssl_handshake_timeout=seconds,
        )
        self.servers = [server]
        self.started = True
        await self._serving.begin()
        self._serving.told(self._listener)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Takes no more, and lets what is under way end; both at a time, as there are ten seconds for all of it."""
        ending = asyncio.create_task(self._serving.end())
        await super().shutdown(sockets)
        await ending
        self._captured_signals.clear()  # it was told to stop, and has: nothing is raised anew


def listening(host: str, port: int) -> socket.socket:
    """A socket that is bound to this address. Raises ListeningRefused."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        made = socket.socket(family, kind, protocol)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6 and ipaddress.ip_address(place[0]).is_unspecified:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            made.bind(place)
        except OSError:
            made.close()
            raise
    except OSError as error:
        raise ListeningRefused(
            f"the server cannot listen at {host}:{port}: {error.strerror or os.strerror(error.errno or 0)}",
            hint="name an address of this machine and a free port: ROWKEEPER_SERVER_ADDRESS",
        ) from error
    return made
