"""A plain JSON webhook, signed as standardwebhooks.com has it, so that a receiver checks it with a library.

webhook-id: 0b8f...                          the notice's: the same when it is sent again
webhook-timestamp: 1795712400
webhook-signature: v1,BASE64(HMAC-SHA256(secret, "id.timestamp.body"))
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

from rowkeeper.endpoints import Endpoint, place_of_url
from rowkeeper.errors import SecretUnavailable
from rowkeeper.ledger.alerts import Notice
from rowkeeper.operations.alerts.receivers.posting import post
from rowkeeper.operations.alerts.receivers.receiver import Outlet
from rowkeeper.operations.alerts.receivers.templates import filled, plain, text_filled
from rowkeeper.security.references import resolve

PREFIX = "whsec_"
WHY = "alerts"


@dataclasses.dataclass(frozen=True, slots=True)
class Webhook:
    """A URL that takes JSON.

    Attributes:
        url: with references in braces.
        secret: a reference to the key of its signatures: `whsec_` and base64, or any text; None: none are made.
        headers: more, with references in braces.
        plaintext: it may be reached without TLS.
    """

    url: str
    secret: str | None = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    plaintext: bool = False

    keeps_state = False

    @property
    def told(self) -> str:
        """Implements Address."""
        return self.url

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Implements Address."""
        return (Endpoint(*place_of_url(plain(self.url))[1:], private=True, why=WHY),)

    def deliver(self, notice: Notice, outlet: Outlet) -> None:
        """Implements Address."""
        body = json.dumps(document(notice, outlet.installation), ensure_ascii=False).encode()
        at = str(int(time.time()))
        headers = {"content-type": "application/json", "webhook-id": notice.id, "webhook-timestamp": at}
        if self.secret is not None:
            headers["webhook-signature"] = signature(resolve(self.secret).reveal(), notice.id, at, body)
        headers |= {name: text_filled(value) for name, value in self.headers.items()}
        post(filled(self.url), body, headers, outlet, plaintext=self.plaintext)


def document(notice: Notice, installation: str) -> dict[str, Any]:
    """What is sent."""
    return {
        "id": notice.id,
        "kind": notice.kind.value,
        "route": notice.route,
        "installation": installation,
        "made_at": notice.made_at.isoformat(),
        "group": dict(notice.group),
        "alerts": [dict(each) for each in notice.alerts],
    }


def signature(secret: str, id: str, at: str, body: bytes) -> str:
    """The value of webhook-signature. Raises SecretUnavailable for a `whsec_` that is no base64."""
    key = secret.encode()
    if secret.startswith(PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except binascii.Error:
            raise SecretUnavailable(
                "the secret of a webhook begins with whsec_, and no base64 follows", hint="see to the secret"
            ) from None
    mac = hmac.new(key, f"{id}.{at}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(mac.digest()).decode()}"
