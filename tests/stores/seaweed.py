"""A real S3: SeaweedFS, from a wheel, on loopback with free ports."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import trustme

PROGRAM = Path(sys.executable).with_name("weed")
STARTED_SECONDS_MAX = 60.0
ADMIN = ("ADMIN-KEY-ID", "admin-secret-of-the-tests")
WRITER = ("WRITER-KEY-ID", "writer-secret-of-the-tests")  # may put, get and list, and delete nothing
READER = ("READER-KEY-ID", "reader-secret-of-the-tests")  # may get objects, and not list them
IDENTITIES = {
    "identities": [
        {
            "name": "admin",
            "credentials": [{"accessKey": ADMIN[0], "secretKey": ADMIN[1]}],
            "actions": ["Admin", "Read", "List", "Tagging", "Write"],
        },
        {
            "name": "reader",
            "credentials": [{"accessKey": READER[0], "secretKey": READER[1]}],
            "actions": ["Read"],
        },
        {
            "name": "writer",
            "credentials": [{"accessKey": WRITER[0], "secretKey": WRITER[1]}],
            "policyNames": ["puts-only"],
        },
    ],
    "policies": [
        {
            "name": "puts-only",
            "content": json.dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Action": ["s3:PutObject", "s3:GetObject", "s3:ListBucket"],
                            "Resource": ["arn:aws:s3:::*", "arn:aws:s3:::*/*"],
                        }
                    ],
                }
            ),
        }
    ],
}


@dataclasses.dataclass
class Seaweed:
    """A server that runs.

    Attributes:
        port: of S3 without TLS, on 127.0.0.1.
        tls_port: of S3 with TLS.
        process: the server itself, for whoever looks at its memory.
        log: what it says.
    """

    port: int
    tls_port: int
    filer_port: int
    process: subprocess.Popen[bytes]
    log: Path
    buckets: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        return f"https://127.0.0.1:{self.tls_port}"

    @property
    def environment(self) -> dict[str, str]:
        """What the references of the tests lead to."""
        return {
            "TEST_S3_ID": ADMIN[0],
            "TEST_S3_KEY": ADMIN[1],
            "TEST_S3_WRITER_ID": WRITER[0],
            "TEST_S3_WRITER_KEY": WRITER[1],
            "TEST_S3_READER_ID": READER[0],
            "TEST_S3_READER_KEY": READER[1],
            "TEST_S3_WRONG_KEY": "this-is-not-the-secret",
        }

    def kill(self) -> None:
        """As a machine that is gone: from here on nobody answers."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def start(self) -> None:
        """Starts it again, over what it had stored, at the same ports."""
        self.process = _started([str(each) for each in self.process.args], self.log)  # type: ignore[union-attr]
        _wait_until_it_answers(self)

    def bucket(self) -> str:
        """A new bucket."""
        self.buckets += 1
        name = f"bucket-{self.buckets}-{os.getpid()}"
        self.make(name)
        return name

    def make(self, name: str) -> None:
        """A bucket of this name."""
        status = _post(self.filer_port, f"/buckets/{name}/")
        assert status in (200, 201, 204), status


def _post(port: int, path: str) -> int:
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        line.request("POST", path)
        return line.getresponse().status
    finally:
        line.close()


def free_ports(count: int) -> list[int]:
    """Ports below 50000 where the one 10000 above is free too: SeaweedFS takes those for gRPC."""
    found: list[int] = []
    with contextlib.ExitStack() as held:
        while len(found) < count:
            probe = held.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1] - 10_000
            with socket.socket() as other:
                try:
                    other.bind(("127.0.0.1", port))
                except OSError:
                    continue
            if port > 1024:
                found.append(port)
    return found


@contextlib.contextmanager
def seaweed(
    folder: Path, authority: trustme.CA | None = None, valid: tuple[datetime.datetime, datetime.datetime] | None = None
) -> Iterator[Seaweed]:
    """Starts a server in an empty folder; `valid` is from and to when its certificate is, instead of now."""
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "data"
    data.mkdir()
    (folder / "s3.json").write_text(json.dumps(IDENTITIES))
    master, volume, filer, s3, tls = free_ports(5)
    options = [
        "-dir", str(data), "-ip", "127.0.0.1", "-ip.bind", "127.0.0.1",
        "-master.port", str(master), "-volume.port", str(volume), "-filer.port", str(filer),
        "-master.volumeSizeLimitMB", "1024", "-volume.max", "2000",
        "-s3", "-s3.port", str(s3), "-s3.config", str(folder / "s3.json"), "-s3.iam=false",
        "-s3.port.iceberg", "0", "-s3.port.lance", "0",
    ]  # fmt: skip
    if authority is not None:
        begins, ends = valid or (None, None)
        certificate = authority.issue_cert("localhost", "127.0.0.1", not_before=begins, not_after=ends)
        certificate.private_key_and_cert_chain_pem.write_to_path(folder / "s3.pem")
        options += [
            "-s3.port.https",
            str(tls),
            "-s3.cert.file",
            str(folder / "s3.pem"),
            "-s3.key.file",
            str(folder / "s3.pem"),
        ]
    log = folder / "log"
    process = _started([str(PROGRAM), "-logtostderr=true", "server", *options], log)
    server = Seaweed(s3, tls, filer, process, log)
    try:
        _wait_until_it_answers(server)
        yield server
    finally:
        server.kill()


def _started(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as told:
        return subprocess.Popen(command, stdout=told, stderr=told, cwd=log.parent)


def _wait_until_it_answers(server: Seaweed) -> None:
    end = time.monotonic() + STARTED_SECONDS_MAX
    while time.monotonic() < end:
        assert server.process.poll() is None, server.log.read_text()[-2000:]
        with contextlib.suppress(OSError, http.client.HTTPException, AssertionError):
            line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=2)
            line.request("GET", "/status")
            if line.getresponse().status < 500 and _post(server.filer_port, "/buckets/ready/") in (
                201,
                409,
            ):  # 409: from before
                return
        time.sleep(0.05)  # a server that starts is asked again, as long as its process lives
    raise AssertionError(f"SeaweedFS did not start: {server.log.read_text()[-2000:]}")
