"""A place where a name server lies: run in namespaces of its own, it has its own network, resolver and servers.

`python -m tests.security.egress.rebinding ANSWERS FILE`: the name server of this place answers the first question for
`rebind.example` with the first of the answers, the second with the second, and so on; an answer is one or several
addresses (`93.184.216.34`, `93.184.216.34+127.0.0.1`). Then it runs the Python file, and prints, as JSON, what that
said, how many questions there were, and how many connections each server had.
"""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from dnslib import QTYPE, RR, A
from dnslib.server import BaseResolver, DNSServer

PUBLIC, LOOPBACK = "93.184.216.34", "127.0.0.1"
PORT = 8080
NAME = "rebind.example"


class Liar(BaseResolver):
    """Answers each question of an address otherwise, and says that nobody may remember it (TTL 0)."""

    def __init__(self, answers: list[str]) -> None:
        self.answers = answers
        self.asked = 0

    def resolve(self, request, _handler):
        reply = request.reply()
        if QTYPE[request.q.qtype] == "A" and str(request.q.qname).rstrip(".") == NAME:
            addresses = self.answers[min(self.asked, len(self.answers) - 1)].split("+")
            self.asked += 1
            for address in addresses:
                reply.add_answer(RR(request.q.qname, QTYPE.A, ttl=0, rdata=A(address)))
        return reply


class Server(http.server.ThreadingHTTPServer):
    """Says one word, and counts who connects."""

    def __init__(self, address: str, word: str) -> None:
        self.connections = 0

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(word)))
                self.end_headers()
                self.wfile.write(word.encode())

            def log_message(self, *_: object) -> None:
                pass

        super().__init__((address, PORT), Handler)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def get_request(self):
        self.connections += 1
        return super().get_request()


def main(answers: list[str], file: str) -> None:
    for command in (["ip", "link", "set", "lo", "up"], ["ip", "addr", "add", f"{PUBLIC}/32", "dev", "lo"]):
        subprocess.run(command, check=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, text in {"resolv.conf": f"nameserver {LOOPBACK}\n", "nsswitch.conf": "hosts: files dns\n"}.items():
            path = Path(folder, name)
            path.write_text(text)
            subprocess.run(["mount", "--bind", str(path), str(Path("/etc", name).resolve())], check=True)
        liar = Liar(answers)
        DNSServer(liar, address=LOOPBACK, port=53, logger=_Silent()).start_thread()
        public, secret = Server(PUBLIC, "public"), Server(LOOPBACK, "secret")
        ran = subprocess.run([sys.executable, file], capture_output=True, text=True, timeout=60, check=False)
        print(
            json.dumps(
                {
                    "said": ran.stdout.split("\n")[:-1],
                    "stderr": ran.stderr,
                    "asked": liar.asked,
                    "public": public.connections,
                    "secret": secret.connections,
                }
            )
        )
        for name in ("resolv.conf", "nsswitch.conf"):
            subprocess.run(["umount", str(Path("/etc", name).resolve())], check=True)


class _Silent:
    def __getattr__(self, name: str):
        return lambda *_: None


if __name__ == "__main__":
    main(sys.argv[1].split(","), sys.argv[2])
