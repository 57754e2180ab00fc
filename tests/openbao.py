"""A real OpenBao server for tests: `bao server -dev` on a loopback port that the system chose, from a wheel of PyPI."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import httpx
import psutil

ROOT = "root-of-the-tests"
SECONDS_MAX = 60.0


def client_for(_url: str) -> httpx.Client:
    """A client of the plain kind, for a server on this machine."""
    return httpx.Client(trust_env=False)


class OpenBao:
    """A server with a key-value store of version 2 at `secret/`, in memory alone."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "bao.log"
        words = ["server", "-dev", f"-dev-root-token-id={ROOT}", "-dev-listen-address=127.0.0.1:0"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [Path(sys.executable).with_name("bao"), *words, "-dev-no-store-token"],
                stdout=log,
                stderr=log,
                env={**os.environ, "HOME": str(folder), "NO_COLOR": "1"},
            )
        self.address = self._found()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """As a power cut would."""
        self.process.kill()
        self.process.wait()

    def call(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """What an administrator does. Fails the test if the server refuses."""
        answer = httpx.request(
            method, f"{self.address}/v1/{path}", headers={"X-Vault-Token": ROOT}, json=body or None, timeout=30
        )
        assert answer.is_success, (path, answer.status_code, answer.text)
        return dict(answer.json()) if answer.content else {}

    def refuses(self, path: str, token: str) -> bool:
        """Whether a token may not read a path, or is none any more."""
        headers = {"X-Vault-Token": token}
        return httpx.get(f"{self.address}/v1/{path}", headers=headers, timeout=30).status_code == 403

    def token(self, *rules: str, ttl: str = "1h", **more: Any) -> str:
        """A token that may do what these rules of a policy say."""
        name = f"tests-{abs(hash((rules, ttl)))}"
        self.call("PUT", f"sys/policies/acl/{name}", policy="\n".join(rules))
        return str(self.call("POST", "auth/token/create", policies=[name], ttl=ttl, **more)["auth"]["client_token"])

    def approle(self, *rules: str, mount: str = "approle", **settings: Any) -> tuple[str, str]:
        """The two ids of an AppRole that may do what these rules say."""
        if f"{mount}/" not in self.call("GET", "sys/auth")["data"]:
            self.call("POST", f"sys/auth/{mount}", type="approle")
        name = f"role-{abs(hash((rules, repr(settings))))}"
        self.call("PUT", f"sys/policies/acl/{name}", policy="\n".join(rules))
        at = f"auth/{mount}/role/{name}"
        self.call("POST", at, token_policies=[name], **settings)
        role = self.call("GET", f"{at}/role-id")["data"]["role_id"]
        return str(role), str(self.call("POST", f"{at}/secret-id")["data"]["secret_id"])

    def seal(self) -> None:
        self.call("PUT", "sys/seal")

    def unseal(self) -> None:
        key = next(line for line in self.log.read_text().splitlines() if line.startswith("Unseal Key:")).split(": ")[1]
        self.call("PUT", "sys/unseal", key=key.strip())
        self._until(lambda: httpx.get(f"{self.address}/v1/sys/health").status_code == 200)

    def _found(self) -> str:
        """Where it listens: of its two ports the one that speaks HTTP."""
        found = ""

        def look() -> bool:
            nonlocal found
            assert self.process.poll() is None, self.log.read_text()
            for each in psutil.Process(self.process.pid).net_connections("tcp"):
                if each.status == psutil.CONN_LISTEN:
                    address = f"http://127.0.0.1:{each.laddr.port}"
                    try:
                        if httpx.get(f"{address}/v1/sys/health", timeout=5).status_code == 200:
                            found = address
                    except httpx.TransportError:
                        continue
            return bool(found)

        self._until(look)
        return found

    def _until(self, there: Any) -> None:
        deadline = time.monotonic() + SECONDS_MAX
        while not there():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)
