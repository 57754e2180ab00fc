"""One request to the vault, and what its failures mean."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from rowkeeper.errors import CircuitOpenError, RetryError, SecretUnavailable, VaultUnreachable
from rowkeeper.resilience.calls import Calls
from rowkeeper.resilience.deadline import seconds_left
from rowkeeper.resilience.outcomes import Effect
from rowkeeper.resilience.policy import Resilience, Retry

if TYPE_CHECKING:
    import httpx

OpenClient = Callable[[str], "httpx.Client"]
"""Opens a client for requests to a URL; it decides about addresses, TLS and proxies."""

SECONDS_MAX = 10.0  # for one try
CALLING = Resilience(
    retry=Retry(attempts=4, wait_seconds_initial=0.2, wait_seconds_max=2.0, attempt_seconds_max=SECONDS_MAX),
    deadline_seconds=20.0,
)
OK_MIN, OK_MAX = 200, 299
UNAVAILABLE = {429, 472, 473, 500, 501, 502, 503, 504}


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What the vault answered: a status, and a JSON document, empty where there is none."""

    status: int
    document: Mapping[str, Any]

    @property
    def ok(self) -> bool:
        """It did what was asked."""
        return OK_MIN <= self.status <= OK_MAX


class VaultClient:
    """Requests to one vault.

    Args:
        address: its URL, such as `https://vault.example:8200`.
        namespace: sent with each request, where it has namespaces.
        open_client: makes the HTTP client, once, at the first request.
        calls: retries and the breaker.
    """

    def __init__(self, address: str, namespace: str | None, open_client: OpenClient, calls: Calls) -> None:
        self.address = address.rstrip("/")
        self._headers = {"X-Vault-Request": "true"} | ({"X-Vault-Namespace": namespace} if namespace else {})
        self._open_client = open_client
        self._client: httpx.Client | None = None
        self._calls = calls

    def get(self, path: str, token: str = "") -> Answer:
        """Reads. Raises VaultUnreachable if it is down or sealed."""
        return self._request("GET", path, token, None, Effect.READ)

    def post(self, path: str, token: str = "", **body: object) -> Answer:
        """Writes; repeated only if it surely was not done. Raises VaultUnreachable if it is down or sealed."""
        return self._request("POST", path, token, body, Effect.WRITE)

    def lend(self, path: str, token: str) -> Answer:
        """Reads what is made for whoever asks, and so is not asked for twice. Raises as `get` does."""
        return self._request("GET", path, token, None, Effect.WRITE)

    def close(self) -> None:
        """Closes its connections; it can be used again."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _request(self, method: str, path: str, token: str, body: Mapping[str, object] | None, effect: Effect) -> Answer:
        import httpx  # noqa: PLC0415 - an extra's, and needed by few commands

        headers = self._headers | ({"X-Vault-Token": token} if token else {})
        url = f"{self.address}/v1/{path}"

        def once() -> httpx.Response:
            if self._client is None:
                self._client = self._open_client(self.address)
            answer = self._client.request(method, url, headers=headers, json=body, timeout=seconds_left(SECONDS_MAX))
            if answer.status_code in UNAVAILABLE:
                answer.raise_for_status()
            return answer

        line = self._calls.to(f"vault at {self.address}", method.lower(), CALLING)
        try:
            answer = line.call(once, effect=effect)
        except CircuitOpenError as error:
            raise self._unreachable("is left alone for a while, after many failures", error.hint) from None
        except (RetryError, httpx.HTTPError) as error:  # their words may quote what was sent
            raise self._explained(error) from None
        if answer.is_redirect:
            raise self._unreachable("points to another host", "set ROWKEEPER_VAULT_ADDRESS to the active one")
        try:
            document = answer.json() if answer.content else {}
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise self._unreachable("answers as no vault does", "see what ROWKEEPER_VAULT_ADDRESS leads to")
        return Answer(answer.status_code, document)

    def _explained(self, error: BaseException) -> SecretUnavailable:
        response = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
        if response is None:
            kind = type(error.__cause__ or error).__name__
            return self._unreachable(f"does not answer ({kind})", "start it, or mend ROWKEEPER_VAULT_ADDRESS")
        if _is_sealed(response):
            return self._unreachable("is sealed", "unseal it: bao operator unseal")
        return self._unreachable(f"is not available (status {response.status_code})", "bao status says more")

    def _unreachable(self, how: str, hint: str) -> VaultUnreachable:
        return VaultUnreachable(f"the vault at {self.address} {how}", hint=hint)


def _is_sealed(response: httpx.Response) -> bool:
    """What a sealed vault answers to any request: 503, `{"errors": ["Vault is sealed"]}`."""
    return response.status_code == 503 and "sealed" in response.text.lower()
