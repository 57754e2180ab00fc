"""A witness (c2sp.org/tlog-witness) on loopback, by TLS, and a server that keeps what is put there.

The witness is written from the specifications alone and uses nothing of Rowkeeper's, so that both ends agree on them
and not on a mistake. What it has seen is in a file, written before it answers.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import trustme
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

BODY = re.compile(rb"old (0|[1-9][0-9]*)\n((?:[A-Za-z0-9+/=]+\n)*)\n(.*)", re.DOTALL)
NOTE = re.compile("((?P<origin>[^\n]+)\n(?P<size>0|[1-9][0-9]*)\n(?P<root>[A-Za-z0-9+/=]+)\n)\n((?:\u2014 .*\n)+)")
SIGNATURE = re.compile("\u2014 (?P<name>[^ +]+) (?P<data>[A-Za-z0-9+/=]+)\n")

Reply = tuple[int, str, str]


class Witness:
    """What it knows, and how it answers.

    Attributes:
        logs: the public keys of the logs that it knows, as vkeys.
        asked: bodies of submissions.
    """

    def __init__(self, name: str, folder: Path, *logs: str) -> None:
        self.name = name
        self.logs = list(logs)
        self.asked: list[str] = []
        self._key = Ed25519PrivateKey.generate()
        self._file = folder / "witness.json"
        self._lock = threading.Lock()

    @property
    def vkey(self) -> str:
        public = b"\x04" + self._key.public_key().public_bytes_raw()
        return f"{self.name}+{self._id.hex()}+{base64.b64encode(public).decode()}"

    @property
    def _id(self) -> bytes:
        public = self._key.public_key().public_bytes_raw()
        return hashlib.sha256(self.name.encode() + b"\n\x04" + public).digest()[:4]

    def seen(self) -> dict[str, tuple[int, str]]:
        return json.loads(self._file.read_text()) if self._file.exists() else {}

    def add_checkpoint(self, body: bytes) -> Reply:
        with self._lock:
            self.asked.append(body.decode())
            return self._add(body)

    def _add(self, body: bytes) -> Reply:
        parts = BODY.fullmatch(body)
        note = NOTE.fullmatch(parts[3].decode()) if parts else None
        if parts is None or note is None:
            return 400, "text/plain", "malformed\n"
        old, size, origin = int(parts[1]), int(note["size"]), note["origin"]
        proof = [base64.b64decode(line, validate=True) for line in parts[2].split()]
        known = [each for each in self.logs if each.split("+")[0] == origin]
        if not known:
            return 404, "text/plain", "unknown origin\n"
        if not any(_signed(note[1], note[5], vkey) for vkey in known):
            return 403, "text/plain", "no signature of a known key\n"
        if old > size or len(proof) > 63 or (old == 0 and proof):
            return 400, "text/plain", "malformed\n"
        seen_size, seen_root = self.seen().get(origin, (0, ""))
        if old != seen_size or (old == size and seen_root != note["root"]):
            return 409, "text/x.tlog.size", f"{seen_size}\n"
        if old and not _consistent(old, base64.b64decode(seen_root), size, base64.b64decode(note["root"]), proof):
            return 422, "text/plain", "inconsistent\n"
        self._file.write_text(json.dumps(self.seen() | {origin: (size, note["root"])}))
        return 200, "text/plain; charset=utf-8", self._cosignature(note[1])

    def _cosignature(self, text: str) -> str:
        now = int(time.time())
        signature = self._key.sign(f"cosignature/v1\ntime {now}\n{text}".encode())
        other = "\u2014 somebody.example/else " + base64.b64encode(bytes(76)).decode() + "\n"
        data = base64.b64encode(self._id + struct.pack(">Q", now) + signature).decode()
        return f"{other}\u2014 {self.name} {data}\n"


def _signed(text: str, signatures: str, vkey: str) -> bool:
    name, key_id, encoded = vkey.split("+", 2)
    key = base64.b64decode(encoded)
    assert key[0] == 1
    for each in SIGNATURE.finditer(signatures):
        data = base64.b64decode(each["data"])
        if each["name"] == name and data[:4].hex() == key_id:
            try:
                Ed25519PublicKey.from_public_bytes(key[1:]).verify(data[4:], text.encode())
                return True
            except InvalidSignature:
                return False
    return False


def _consistent(old: int, old_root: bytes, size: int, root: bytes, proof: list[bytes]) -> bool:
    """By the recursive definition of RFC 6962, 2.1.2, read backwards: what both roots must be, given this proof."""

    def node(left: bytes, right: bytes) -> bytes:
        return hashlib.sha256(b"\x01" + left + right).digest()

    rest = list(proof)

    def subproof(m: int, n: int, whole: bool) -> tuple[bytes, bytes]:
        if m == n:
            given = old_root if whole else rest.pop(0)
            return given, given
        k = 1 << ((n - 1).bit_length() - 1)
        if m <= k:
            before, after = subproof(m, k, whole)
            return before, node(after, rest.pop(0))
        before, after = subproof(m - k, n - k, False)
        left = rest.pop(0)
        return node(left, before), node(left, after)

    try:
        found = subproof(old, size, True)
    except IndexError:
        return False
    return not rest and found == (old_root, root)


class Shelf:
    """Keeps one text at each path, for whoever has the token."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.texts: dict[str, str] = {}
        self.status = 0  # if it is not 0, the answer to everything

    def answer(self, method: str, path: str, authorization: str | None, body: bytes) -> Reply:
        if self.status:
            return self.status, "text/plain", "out of order\n"
        if authorization != f"Bearer {self.token}":
            return 401, "text/plain", "who is that?\n"
        if method == "GET":
            text = self.texts.get(path)
            return (404, "text/plain", "") if text is None else (200, "text/plain", text)
        self.texts[path] = body.decode()
        return 204, "text/plain", ""


@contextmanager
def serving(authority: trustme.CA, witness: Witness, shelf: Shelf) -> Iterator[str]:
    """Both behind one port; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            if self.path == "/w1/add-checkpoint" and self.command == "POST":
                reply = witness.add_checkpoint(body)
            else:
                reply = shelf.answer(self.command, self.path, self.headers["authorization"], body)
            status, kind, text = reply
            self.send_response(status)
            self.send_header("Content-Type", kind)
            if status != 204:
                self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_PUT = do_POST  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"https://localhost:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
