"""One POST by the one way out. Of what a server answers nothing is told but its status: it may quote what was sent."""

from __future__ import annotations

from collections.abc import Mapping

from rowkeeper.endpoints import place_of_url
from rowkeeper.errors import NoticeNotDelivered
from rowkeeper.operations.alerts.receivers.receiver import Outlet

SECONDS_MAX = 15.0
ANSWER_BYTES_MAX = 65_536


class Answered(Exception):  # noqa: N818 - handled where it is sent, never seen outside
    """The server answered with an error; retries judge by `status_code` and `headers`."""

    def __init__(self, host: str, status: int, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{host} answered {status}")
        self.host = host
        self.status_code = status
        self.headers = dict(headers or {})

    @property
    def told(self) -> NoticeNotDelivered:
        """The error that says so."""
        return NoticeNotDelivered(str(self), hint=HINTS.get(self.status_code, "see to that server"))


HINTS = {
    401: "see to the secret of the route",
    403: "see to the secret of the route",
    404: "see to the URL of the route",
    410: "the receiver was taken away: make a new one, and put it into the route",
}


def post(url: str, body: bytes, headers: Mapping[str, str], outlet: Outlet, *, plaintext: bool) -> None:
    """Sends, and comes back when the answer is 2xx. Raises Answered, FrameworkError, or httpx's errors."""
    from rowkeeper.security.egress.http import http_client  # noqa: PLC0415 - of an extra, and slow to import

    _, host, _ = place_of_url(url)
    with (
        http_client(
            outlet.way_out,
            name=f"the receiver of alerts at {host}",
            tls=outlet.tls,
            plaintext=plaintext,
            plaintext_setting="plaintext = true in the route",
            seconds_max=SECONDS_MAX,
        ) as client,
        client.stream("POST", url, content=body, headers=dict(headers)) as answer,
    ):
        size = 0
        for piece in answer.iter_bytes():
            size += len(piece)
            if size > ANSWER_BYTES_MAX:
                break
        if not 200 <= answer.status_code <= 299:
            raise Answered(host, answer.status_code, answer.headers)
