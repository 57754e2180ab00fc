"""A path and a key: what `vault:secret/orders#password` leads to."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote, urlsplit

from rowkeeper.errors import SecretUnavailable, SettingsError
from rowkeeper.nearest import did_you_mean
from rowkeeper.resilience.calls import Calls
from rowkeeper.resilience.clock import SYSTEM_CLOCK, Clock
from rowkeeper.security.references.vault.access import Access, Credentials, Resolve, Token
from rowkeeper.security.references.vault.client import Answer, OpenClient, VaultClient
from rowkeeper.security.references.vault.leases import Lease, Leases
from rowkeeper.security.references.vault.term import Term
from rowkeeper.security.secret import Secret

FORBIDDEN, MISSING = 403, 404
KV = "kv"


class Vault:
    """Secrets of one vault. For any number of threads."""

    def __init__(self, client: VaultClient, credentials: Credentials, resolve: Resolve, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._lock = threading.RLock()
        self._access = Access(client, credentials, resolve, clock)
        self._leases = Leases(client, self._access, clock, self._lock)

    def read(self, place: str) -> str:
        """The secret at `PATH#KEY`.

        A path of a key-value store is written as `bao kv get` takes it, without `data/`. What other stores make for
        whoever asks (a user of a database) is lent: all keys of such a path come from one lease, which is renewed.

        Raises SecretUnavailable if there is none, or it may not be read; VaultUnreachable if nobody answers.
        """
        path, _, key = place.partition("#")
        with self._lock:
            lease = self._leases.get(path)
            values: Mapping[str, Any] = lease.values if lease is not None else self._read(path, self._enter())
        if key not in values:
            raise SecretUnavailable(
                f"vault:{place}: the secret has no key {key}", hint=did_you_mean(key, values, _keys(values))
            )
        value = values[key]
        if isinstance(value, Secret):
            return value.reveal()
        if not isinstance(value, str):
            raise SecretUnavailable(f"vault:{place}: what is there is no text", hint="store it as text")
        return value

    def write(self, path: str, **body: object) -> Answer:
        """Asks an engine of the vault to do something, such as to encrypt; its refusal is in the answer.

        Raises SecretUnavailable if the token is refused, VaultUnreachable if nobody answers.
        """
        with self._lock:
            entered = self._enter()
            answer = self._client.post(quote(path), entered.secret.reveal(), **body)
            if answer.status == FORBIDDEN and not self._access.known(entered):
                self._access.forget()
                answer = self._client.post(quote(path), self._enter().secret.reveal(), **body)
            return answer

    def close(self) -> None:
        """Gives back what was lent, and the token of an AppRole."""
        self._leases.close()
        self._client.close()

    def _enter(self) -> Token:
        before, token = self._access.token, self._access.enter()
        if before is None or before.secret is not token.secret:  # what was lent to the one before went with it
            self._leases.forget_all()
            self._leases.watch()
        return token

    def _read(self, path: str, entered: Token, *, again: bool = True) -> Mapping[str, Any]:
        token = entered.secret
        mount, kind, version = self._mount(path, token)
        at = f"{mount}data/{path.removeprefix(mount)}" if (kind, version) == (KV, "2") else path
        if kind == KV:
            answer = self._client.get(quote(at), token.reveal())
        else:
            answer = self._client.lend(quote(at), token.reveal())
        if answer.status == FORBIDDEN and again and not self._access.known(entered):
            self._access.forget()
            return self._read(path, self._enter(), again=False)  # a token that was given is refused there
        if not answer.ok:
            raise _refused(path, at, answer)
        data = answer.document.get("data") or {}
        if kind == KV and version == "2":
            return data.get("data") or {}
        if answer.document.get("lease_id"):
            return self._lent(path, answer.document, data)
        return dict(data)

    def _lent(self, path: str, document: Mapping[str, Any], data: Mapping[str, Any]) -> Mapping[str, Secret]:
        values = {key: Secret(value) for key, value in data.items() if isinstance(value, str)}
        seconds, renewable = float(document["lease_duration"]), bool(document.get("renewable"))
        term = Term.given(seconds, self._clock.monotonic(), renewable=renewable)
        self._leases.keep(path, Lease(document["lease_id"], values, term))
        return values

    def _mount(self, path: str, token: Secret) -> tuple[str, str, str]:
        """The mount that a path is on, such as `secret/`, its kind, and the version of a key-value store.

        Whoever may read the secret may ask this. Who may not is told so when the path itself is read.
        """
        answer = self._client.get(f"sys/internal/ui/mounts/{quote(path)}", token.reveal())
        data = answer.document.get("data") or {}
        if not answer.ok:
            return "", "", ""
        options = data.get("options") or {}
        kind = str(data.get("type", ""))
        return str(data.get("path", "")), KV if kind == "generic" else kind, str(options.get("version", "1"))


def _refused(path: str, at: str, answer: Answer) -> SecretUnavailable:
    if answer.status == MISSING:
        mended = path.replace("/data/", "/", 1)
        hint = f"leave data/ out: vault:{mended}#KEY" if mended != path else f"see what there is: bao kv get {path}"
        return SecretUnavailable(f"vault:{path}: the vault has nothing there", hint=hint)
    if answer.status == FORBIDDEN:
        return SecretUnavailable(
            f"vault:{path}: the vault does not let this token read it",
            hint=f'its policy needs: path "{at}" {{ capabilities = ["read"] }}',
        )
    return SecretUnavailable(f"vault:{path}: the vault refuses it (status {answer.status})", hint="bao read says more")


def _keys(values: Mapping[str, Any]) -> str:
    return "it has " + ", ".join(sorted(values)) if values else "it has none: it was deleted, or is empty"


@contextmanager
def vault_of(
    address: str,
    credentials: Credentials,
    *,
    resolve: Resolve,
    open_client: OpenClient,
    namespace: str | None = None,
    calls: Calls | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Iterator[Vault]:
    """A vault for as long as the block lasts.

    Args:
        address: its URL.
        resolve: follows the references of the credentials.
        open_client: makes the HTTP client for a URL.

    Raises SettingsError if it is reached without TLS on another machine.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError("vault_address is no URL of a vault", hint="such as https://vault.example:8200")
    if parts.scheme == "http" and not _is_this_machine(parts.hostname):
        raise SettingsError(
            f"vault_address: {parts.hostname} would be asked for secrets without TLS", hint="use its https:// address"
        )
    vault = Vault(VaultClient(address, namespace, open_client, calls or Calls()), credentials, resolve, clock)
    try:
        yield vault
    finally:
        vault.close()


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
