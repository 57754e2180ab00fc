"""Real receivers of notices: a server of HTTP and one of SMTP on loopback, which keep what they are sent."""

from __future__ import annotations

import contextlib
import dataclasses
import email
import email.policy
import http.server
import json
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from typing import Any


@dataclasses.dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Answers = Callable[[Asked], tuple[int, dict[str, str], bytes]]


def well(_: Asked) -> tuple[int, dict[str, str], bytes]:
    return 200, {}, b"ok"


class Hook:
    """A server of HTTP. `answers` says what it answers, and can be replaced while it runs."""

    def __init__(self, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.asked: list[Asked] = []
        self.answers: Answers = well
        self.turned = threading.Condition()
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(self.command, self.path, headers, body)
                with hook.turned:
                    hook.asked.append(asked)
                    hook.turned.notify_all()
                status, more, text = hook.answers(asked)
                self.send_response(status)
                for name, value in {"content-length": str(len(text)), **more}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = answer  # noqa: N815 - as http.server calls them

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_port
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()

    def wait_for(self, enough: Callable[[], bool], seconds_max: float = 60.0) -> None:
        """Returns when it was asked enough."""
        with self.turned:
            assert self.turned.wait_for(enough, seconds_max), self.asked

    @property
    def documents(self) -> list[Any]:
        return [each.json for each in self.asked]


@contextlib.contextmanager
def hook(tls: ssl.SSLContext | None = None, port: int = 0) -> Iterator[Hook]:
    made = Hook(tls, port)
    try:
        yield made
    finally:
        made.close()


class _Smtp(socketserver.BaseRequestHandler):
    """One connection. The server has the mailbox."""

    def handle(self) -> None:
        self.line, self.file, self.box = self.request, self.request.makefile("rb"), self.server.box
        self.say("220 box ESMTP")
        while words := self.file.readline().decode().rstrip():
            verb = words.partition(" ")[0].lower()
            getattr(self, f"on_{verb}", self.on_other)(words)
            if verb == "quit":
                return

    def say(self, text: str) -> None:
        self.line.sendall(text.encode() + b"\r\n")

    def on_other(self, _: str) -> None:
        self.say("250 ok")

    def on_quit(self, _: str) -> None:
        self.say("221 bye")

    def on_ehlo(self, _: str) -> None:
        offered = "250-STARTTLS\r\n" if self.box.tls is not None else ""
        self.say(f"250-box\r\n{offered}250 AUTH PLAIN")

    def on_starttls(self, _: str) -> None:
        self.say("220 go")
        self.line = self.box.tls.wrap_socket(self.line, server_side=True)
        self.file = self.line.makefile("rb")
        self.box.secured += 1

    def on_auth(self, words: str) -> None:
        self.box.logins.append(words)
        self.say("235 in")

    def on_rcpt(self, _: str) -> None:
        self.say(f"{self.box.refuses} not this one" if self.box.refuses else "250 ok")

    def on_data(self, _: str) -> None:
        self.say("354 go")
        lines = []
        while (line := self.file.readline()) != b".\r\n":
            lines.append(line.removeprefix(b"."))
        message = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.box.messages.append(message)
        self.say("250 taken")


class Mailbox:
    """A server of SMTP: what a client needs, AUTH PLAIN and STARTTLS among it.

    Attributes:
        refuses: a code with which recipients are refused; 0 takes them.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.tls = tls
        self.messages: list[EmailMessage] = []
        self.logins: list[str] = []
        self.secured = 0
        self.refuses = 0

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            box = self

            def handle_error(self, *_: object) -> None:
                """A client that does not trust us goes away in mid-handshake."""

        self.server = Server(("127.0.0.1", 0), _Smtp)
        self.port = self.server.server_address[1]
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@contextlib.contextmanager
def mailbox(tls: ssl.SSLContext | None = None) -> Iterator[Mailbox]:
    made = Mailbox(tls)
    try:
        yield made
    finally:
        made.close()
