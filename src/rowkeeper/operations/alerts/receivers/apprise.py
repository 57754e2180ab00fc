"""Mail, chat and webhooks by Apprise, kept on the leash: what it connects to is the route's host, by the one way out.

Apprise's plugins send by `requests`, and mail by `smtplib`. For as long as a notice is sent, `requests` in this process
gets an adapter that asks by our own client (httpx over checked addresses, our TLS, no proxy or password of the
environment, no redirect elsewhere), and Apprise's mail gets sockets of the way out. Plugins answer yes or no; what went
wrong is seen on the leash, and told without a word of the server's.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import smtplib
import socket
import threading
import types
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, TypeVar
from urllib.parse import urlsplit

from rowkeeper.endpoints import Endpoint
from rowkeeper.errors import FrameworkError, NoticeNotDelivered, is_fault
from rowkeeper.extras import library
from rowkeeper.ledger.alerts import Kind, Notice, Severity
from rowkeeper.operations.alerts.receivers.posting import SECONDS_MAX, Answered
from rowkeeper.operations.alerts.receivers.receiver import Outlet
from rowkeeper.operations.alerts.receivers.services import endpoints_of, is_secure, service_of
from rowkeeper.operations.alerts.receivers.templates import filled
from rowkeeper.operations.alerts.receivers.wording import body, title, worst
from rowkeeper.resilience.sockets import bounded_tls
from rowkeeper.security.tls import client_context, secure
from rowkeeper.security.tls.plaintext import refuse_plaintext

T = TypeVar("T")
PLAINTEXT = "plaintext = true in the route"
KINDS = {Severity.CRITICAL.value: "failure", Severity.WARNING.value: "warning", Severity.INFO.value: "info"}
_one_at_a_time = threading.Lock()


@dataclasses.dataclass(frozen=True, slots=True)
class Apprise:
    """A URL of Apprise.

    Attributes:
        url: with references in braces.
        plaintext: it may be reached without TLS.
    """

    url: str
    plaintext: bool = False

    keeps_state = False

    @property
    def told(self) -> str:
        """Implements Address."""
        return self.url

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Implements Address."""
        return endpoints_of(service_of(self.scheme, self.url), self.url)

    @property
    def scheme(self) -> str:
        """Which service it is."""
        return self.url.partition("://")[0].lower()

    def deliver(self, notice: Notice, outlet: Outlet) -> None:
        """Implements Address."""
        apprise = library("apprise", "alerts", f"{self.scheme}:// routes need a library")
        service = service_of(self.scheme, self.url)
        (endpoint, *_) = self.endpoints
        refuse_plaintext(
            endpoint.host,
            secure=is_secure(service, self.url),
            plaintext=self.plaintext,
            name="the receiver of alerts",
            setting=PLAINTEXT,
        )
        asset = apprise.AppriseAsset(
            app_id="Rowkeeper", app_desc="Rowkeeper", app_url="", image_url_mask="", image_url_logo=""
        )
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # its lines quote URLs, and what servers say
        leash = _Leash(outlet, self.plaintext)
        with leash.held():
            sent = _of_plugin(self.scheme, lambda: self._send(apprise, asset, notice, outlet))
        if not sent:
            raise leash.fault or NoticeNotDelivered(
                f"Apprise could not send to {endpoint.host}", hint="rowkeeper alerts test sends a notice and tells more"
            )

    def _send(self, apprise: Any, asset: Any, notice: Notice, outlet: Outlet) -> bool:
        plugin = apprise.Apprise.instantiate(_with_smtp(filled(self.url), self.scheme), asset=asset)
        if not plugin:
            raise NoticeNotDelivered(
                f"Apprise does not understand {self.told}", hint="https://appriseit.com/services has each form"
            )
        kind = "success" if notice.kind is Kind.RESOLVED else KINDS[worst(notice)]
        return bool(
            plugin.notify(
                body=body(notice, outlet.installation),
                title=title(notice),
                notify_type=apprise.NotifyType(kind),
                body_format=apprise.NotifyFormat.TEXT,
            )
        )


def _of_plugin(scheme: str, step: Callable[[], bool]) -> bool:
    """A step in the code of somebody else, which may raise anything at an answer that it does not expect."""
    try:
        return step()
    except FrameworkError:
        raise
    except BaseException as error:
        if not is_fault(error):
            raise
        raise NoticeNotDelivered(  # its words may quote what was sent, or the secret
            f"Apprise's plugin for {scheme}:// raised {type(error).__name__}", hint="see to that server, and to the URL"
        ) from None


def _with_smtp(url: str, scheme: str) -> str:
    """Mail goes to the server that the URL names, whatever Apprise knows of the addresses of well-known providers."""
    if scheme not in ("mailto", "mailtos"):
        return url
    parts = urlsplit(url)
    given = {each.partition("=")[0] for each in parts.query.split("&") if each}
    added = {"smtp": parts.hostname or "", "format": "text"}
    for name in [name for name in added if name not in given]:
        url += f"{'&' if '?' in url else '?'}{name}={added[name]}"
    return url


class _Leash:
    """What Apprise connects by, and what went wrong there.

    Attributes:
        fault: the last error.
    """

    def __init__(self, outlet: Outlet, plaintext: bool) -> None:
        self._outlet = outlet
        self._plaintext = plaintext
        self.fault: Exception | None = None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """In the block, what Apprise sends goes by here. One at a time: modules are the process's."""
        adapter: Callable[[_Leash], Any] = _adapter()
        sessions = import_module("requests.sessions")
        mail = import_module("apprise.plugins.email.smtp")
        ours = types.SimpleNamespace(
            SMTP=functools.partial(_Mail, self),
            SMTP_SSL=functools.partial(_SecureMail, self),
            SMTPException=smtplib.SMTPException,
        )
        trust = types.SimpleNamespace(create_default_context=self.context, CERT_NONE=None)
        replaced = (
            (sessions, "HTTPAdapter", functools.partial(adapter, self)),
            (sessions, "get_netrc_auth", lambda *_, **__: None),
            (mail, "smtplib", ours),
            (mail, "ssl", trust),
        )
        with _one_at_a_time, contextlib.ExitStack() as stack:
            for module, name, value in replaced:
                stack.callback(setattr, module, name, getattr(module, name))
                setattr(module, name, value)
            yield

    def context(self) -> Any:
        """The context that mail is secured by."""
        return bounded_tls(client_context(self._outlet.tls))

    def line(self, host: str, port: int) -> socket.socket:
        """A connection by the one way out."""
        return self._outlet.way_out.connect(host, port, seconds_max=SECONDS_MAX)

    def secured(self, line: socket.socket, host: str) -> socket.socket:
        """The connection with TLS."""
        return secure(line, host, self._outlet.tls)

    def noted(self, host: str, step: Callable[[], T]) -> T:
        """A step of which the error is kept. SMTP's replies are told by their number alone: they may quote anything."""
        try:
            return step()
        except (smtplib.SMTPException, FrameworkError, OSError) as error:
            self.fault = _told(host, error)
            raise

    def asked(self, request: Any) -> Any:
        """Asks by our own client, and gives the answer as `requests` has it. Raises requests' ConnectionError."""
        from rowkeeper.security.egress.http import http_client  # noqa: PLC0415 - of an extra, slow to import

        httpx = import_module("httpx")

        requests = import_module("requests")
        host = urlsplit(request.url).hostname or ""
        try:
            with http_client(
                self._outlet.way_out,
                name=f"the receiver of alerts at {host}",
                tls=self._outlet.tls,
                plaintext=self._plaintext,
                plaintext_setting=PLAINTEXT,
                seconds_max=SECONDS_MAX,
            ) as client:
                answer = client.request(
                    request.method, request.url, content=request.body or b"", headers=dict(request.headers)
                )
        except (FrameworkError, OSError, httpx.HTTPError) as error:
            self.fault = error
            raise requests.ConnectionError("not sent") from error
        if answer.status_code >= 400:
            self.fault = Answered(host, answer.status_code, answer.headers)
        made = requests.Response()
        made.status_code, made.url, made.request = answer.status_code, request.url, request
        made.headers = requests.structures.CaseInsensitiveDict(answer.headers)
        made._content, made._content_consumed = answer.content, True
        return made


@functools.cache
def _adapter() -> type[Any]:
    """An adapter of `requests`, which is there if Apprise is."""
    base: type[Any] = import_module("requests.adapters").BaseAdapter

    class Adapter(base):  # type: ignore[misc] # a class that is known only now
        def __init__(self, leash: _Leash) -> None:
            super().__init__()
            self._leash = leash

        def send(self, request: Any, **_: Any) -> Any:
            return self._leash.asked(request)

        def close(self) -> None:
            """Nothing is kept open."""

    return Adapter


class _Mail(smtplib.SMTP):
    """SMTP over a connection of the way out. It asks no name server for this machine's own name."""

    def __init__(self, leash: _Leash, host: str, port: int, _name: None, timeout: float, **more: Any) -> None:
        self._leash, self._of = leash, host
        super().__init__(host, port, socket.gethostname() or "localhost", timeout=timeout, **more)

    def connect(self, *args: Any, **kwargs: Any) -> Any:
        return self._leash.noted(self._of, lambda: super(_Mail, self).connect(*args, **kwargs))

    def _get_socket(self, host: str, port: int, timeout: float) -> Any:
        """What smtplib has for subclasses that connect in another way."""
        del timeout
        return self._leash.line(host, port)

    def starttls(self, **kwargs: Any) -> Any:  # type: ignore[override] # as Apprise calls it
        return self._leash.noted(self._of, lambda: super(_Mail, self).starttls(**kwargs))

    def login(self, *args: Any, **kwargs: Any) -> Any:
        return self._leash.noted(self._of, lambda: super(_Mail, self).login(*args, **kwargs))

    def sendmail(self, *args: Any, **kwargs: Any) -> Any:
        return self._leash.noted(self._of, lambda: super(_Mail, self).sendmail(*args, **kwargs))


class _SecureMail(_Mail):
    """SMTP within TLS from the first byte."""

    def __init__(self, leash: _Leash, *args: Any, context: Any, **more: Any) -> None:
        del context  # ours is asked for at the connection
        super().__init__(leash, *args, **more)

    def _get_socket(self, host: str, port: int, timeout: float) -> Any:
        return self._leash.secured(super()._get_socket(host, port, timeout), host)


def _told(host: str, error: Exception) -> Exception:
    if not isinstance(error, smtplib.SMTPException):
        return error
    code = getattr(error, "smtp_code", None)
    refused = getattr(error, "recipients", None)
    if refused:
        code = next(iter(refused.values()))[0]
    said = f"refused with {code}" if isinstance(code, int) and code > 0 else f"{type(error).__name__}"
    return NoticeNotDelivered(f"the mail server {host}: {said}", hint="see to that server, and to the route's secret")
