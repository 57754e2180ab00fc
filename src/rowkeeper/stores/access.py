"""obstore's clients, made for one bucket each: with the credentials that were declared, and with no others.

obstore reads the environment for whatever it is not given, and would look for credentials in files and at the metadata
services of clouds. So it is given all of it here: an endpoint (twice, as one variable of the environment comes before
the other), credentials by a callback, which comes before everything else, or no signature.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from rowkeeper import extras
from rowkeeper.errors import FrameworkError
from rowkeeper.security.references import resolve
from rowkeeper.stores.declaring import GCS, S3, Azure

REQUEST_SECONDS_MAX = 120
FRESH_SECONDS = 300
PART_RETRIES_MAX = 4
PART_RETRY_SECONDS_MAX = 120
NONE: Mapping[str, Any] = {"max_retries": 0, "retry_timeout": datetime.timedelta(seconds=1)}
SOME: Mapping[str, Any] = {
    "max_retries": PART_RETRIES_MAX,
    "retry_timeout": datetime.timedelta(seconds=PART_RETRY_SECONDS_MAX),
    "backoff": {
        "init_backoff": datetime.timedelta(milliseconds=300),
        "max_backoff": datetime.timedelta(seconds=10),
        "base": 2,
    },
}

Token = Callable[[], tuple[str, float]]
"""Gives an access token, and for how many seconds it is good."""


def credentials_of(access: S3 | GCS | Azure, token: Token | None) -> Credentials | None:
    """Who we are in a store; None is nobody.

    Args:
        token: gives tokens, for a service account of Google's.

    Raises what following references raises.
    """
    if access.anonymous:
        return None
    if isinstance(access, S3):
        return Credentials(functools.partial(_s3_credentials, access))
    if isinstance(access, GCS):
        return Credentials(functools.partial(_google_credentials, access, token))
    return Credentials(functools.partial(_azure_credentials, access))


def library() -> Any:
    """obstore. Raises ConfigurationError if it is not installed."""
    extras.library("obstore.store", "objects", "object stores need a library")
    return extras.library("obstore", "objects", "object stores need a library")


def obstore_client(
    access: S3 | GCS | Azure, bucket: str, url: str, proxy: str, credentials: Credentials | None, *, retries: bool
) -> Any:
    """A client for a bucket.

    Args:
        url: of its store, without TLS: that is spoken by the proxy.
        proxy: the relay.
        retries: whether obstore tries parts of an upload again by itself: it has no way to let others do that.

    Raises ConfigurationError if obstore is not installed.
    """
    store = library().store
    client_options: Any = {
        "proxy_url": proxy,
        "allow_http": True,
        "http1_only": True,
        "timeout": f"{REQUEST_SECONDS_MAX}s",
        "connect_timeout": "30s",
        "user_agent": "rowkeeper",
    }
    provider: Any = credentials  # each cloud has a protocol of its own for it
    options: Any = {
        "client_options": client_options,
        "retry_config": SOME if retries else NONE,
        "credential_provider": provider,
    }
    if isinstance(access, S3):
        return store.S3Store(
            bucket,
            endpoint=url,
            aws_endpoint_url_s3=url,
            region=access.region,
            virtual_hosted_style_request=access.virtual_hosted,
            skip_signature=access.anonymous,
            request_payer=False,
            s3_express=False,
            disable_bulk_delete=True,  # not every store can
            conditional_put="etag",
            unsigned_payload=False,
            **options,
        )
    if isinstance(access, GCS):
        return store.GCSStore(
            bucket,
            base_url=url,
            skip_signature=access.anonymous,
            **options,
        )
    return store.AzureStore(
        bucket,
        account_name=access.account,
        endpoint=url,
        skip_signature=access.anonymous,
        use_emulator=False,
        use_azure_cli=False,
        **options,
    )


def _s3_credentials(access: S3) -> Mapping[str, Any]:
    assert access.access_key is not None
    assert access.secret_key is not None
    return {
        "access_key_id": resolve(access.access_key).reveal(),
        "secret_access_key": resolve(access.secret_key).reveal(),
        "token": None if access.session_token is None else resolve(access.session_token).reveal(),
        "expires_at": _in(FRESH_SECONDS),
    }


def _google_credentials(access: GCS, token: Token | None) -> Mapping[str, Any]:
    if access.token is not None:
        return {"token": resolve(access.token).reveal(), "expires_at": _in(FRESH_SECONDS)}
    assert token is not None
    text, seconds = token()
    return {"token": text, "expires_at": _in(seconds)}


def _azure_credentials(access: Azure) -> Mapping[str, Any]:
    if access.account_key is not None:
        return {"access_key": resolve(access.account_key).reveal(), "expires_at": _in(FRESH_SECONDS)}
    assert access.sas_token is not None
    pairs = [each.partition("=") for each in resolve(access.sas_token).reveal().lstrip("?").split("&")]
    return {"sas_token": [(name, unquote(text)) for name, _, text in pairs], "expires_at": _in(FRESH_SECONDS)}


def _in(seconds: float) -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)


class Credentials:
    """What obstore calls for credentials, in a thread of its own, and again when they are some minutes old.

    So a secret that was rotated is found. Made, it has asked once: what is wrong then is raised as it is. What goes
    wrong later is kept in `error`, as obstore has words of its own for it.
    """

    def __init__(self, given: Callable[[], Mapping[str, Any]]) -> None:
        self._given = given
        self._first: Mapping[str, Any] | None = given()
        self.error: FrameworkError | None = None

    def __call__(self) -> dict[str, Any]:
        """What obstore expects of a credential provider."""
        first, self._first = self._first, None
        try:
            found = dict(first or self._given())
        except FrameworkError as error:
            self.error = error
            raise
        self.error = None
        return found
