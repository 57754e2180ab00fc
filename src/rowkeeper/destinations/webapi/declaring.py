"""`rk.destinations.api`: what a person writes, checked."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import pyarrow as pa

from rowkeeper.apis.asking import Where, endpoint_of
from rowkeeper.configuration.literal import is_named_like_a_secret, refuse_url
from rowkeeper.configuration.reference import is_reference
from rowkeeper.destinations.declared import check_fallback, names_of
from rowkeeper.destinations.webapi.outcomes import ItemErrors, ItemResults, Items, check_items, items_document, items_of
from rowkeeper.destinations.webapi.rendering import FORMS, Form
from rowkeeper.destinations.webapi.session import ApiSession
from rowkeeper.endpoints import Endpoint, place_of_url
from rowkeeper.errors import DeclarationError
from rowkeeper.nearest import did_you_mean, one_of
from rowkeeper.protocols import Fallback, Guarantee, Site, WriteMode
from rowkeeper.resilience.policy import Resilience, Retry, check_resilience
from rowkeeper.resilience.rates import RateLimit
from rowkeeper.security.httpauth import AUTHENTICATIONS, Authentication, Signed, authentication_of, hmac_sha256
from rowkeeper.security.tls import TLS

DELIVERY = Resilience(
    retry=Retry(attempts=6, wait_seconds_initial=0.5, wait_seconds_max=30.0, attempt_seconds_max=60.0),
    deadline_seconds=300.0,
)
BATCH_ROWS, BATCH_ROWS_MAX = 500, 100_000
BATCH_BYTES, ANSWER_BYTES_MAX = 1 << 20, 16 << 20
METHODS = ("POST", "PUT", "PATCH")
POLICIES = ("skip", "quarantine")


@dataclasses.dataclass(frozen=True)
class ApiDestination:
    """An API that takes rows by HTTP. Guarantee: exactly once by idempotency key; at least once where it takes none.

    Made by `api()`, which says what each attribute means.
    """

    url: str
    method: str
    form: Form
    field: str
    beside: Mapping[str, Any]
    batch_rows: int
    batch_bytes: int
    idempotency_key: str | None
    results: Items | None
    auth: Authentication | None
    headers: tuple[tuple[str, str], ...]
    rate: RateLimit | None
    key: tuple[str, ...]
    duplicates: Literal["skip", "quarantine"] | None
    tls: TLS | None
    plaintext: bool
    fallback: Fallback | None = None
    resilience: Resilience | None = dataclasses.field(default=None, compare=False)
    write_mode: WriteMode = dataclasses.field(default="append", init=False)

    @property
    def guarantee(self) -> Guarantee:
        """What it promises when a run dies and is run again."""
        return Guarantee.AT_LEAST_ONCE if self.idempotency_key is None else Guarantee.EXACTLY_ONCE_BY_KEY

    @property
    def place(self) -> str:
        """Where rows go, without the query."""
        return self.url.partition("?")[0]

    @property
    def target(self) -> str:
        """Names it over all pipelines."""
        return f"api:{self.place}"

    @property
    def where(self) -> Where:
        """What is known of it before anything is sent."""
        policy = self.resilience or DELIVERY
        return Where(self.url, self.auth, self.headers, self.rate, policy, self.tls, self.plaintext, ANSWER_BYTES_MAX)

    def describe(self) -> Mapping[str, Any]:
        """What rebuilds this declaration, but for how its calls survive, which no run depends on."""
        plain = ("url", "method", "form", "field", "batch_rows", "batch_bytes", "idempotency_key")
        return {
            "kind": "api",
            **{name: getattr(self, name) for name in (*plain, "duplicates", "plaintext", "fallback")},
            "beside": dict(self.beside),
            "headers": dict(self.headers),
            "key": list(self.key),
            "results": items_document(self.results),
            "auth": None if self.auth is None else dict(self.auth.describe()),
            "rate": None if self.rate is None else dataclasses.asdict(self.rate),
            "tls": None if self.tls is None else self.tls.document(),
        }

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Self:
        """The inverse of `describe`."""
        values = {name: value for name, value in description.items() if name != "kind"}
        made = {
            "headers": tuple(values["headers"].items()),
            "key": tuple(values["key"]),
            "results": items_of(values["results"]),
            "auth": None if values["auth"] is None else authentication_of(values["auth"]),
            "rate": None if values["rate"] is None else RateLimit(**values["rate"]),
            "tls": None if values["tls"] is None else TLS(**values["tls"]),
        }
        return cls(**{**values, **made})

    def endpoints(self) -> Sequence[Endpoint]:
        """The API's host, and where tokens are asked for."""
        return (endpoint_of(self.where), *(self.auth.endpoints() if self.auth else ()))

    def connect(self, site: Site, schema: pa.Schema | None) -> ApiSession:
        """A session for one run, or for inspection where `schema` is None; nothing is sent yet.

        Raises DeclarationError if the declaration names a column that the schema has not.
        """
        for name in self.key if schema is not None else ():
            if name not in schema.names:  # type: ignore[union-attr]
                raise DeclarationError(
                    f"key of {self.place} names a column {name} that the contract has not",
                    hint=did_you_mean(name, schema.names),  # type: ignore[union-attr]
                )
        return ApiSession(self, site, schema)


def api(
    url: str,
    *,
    method: str = "POST",
    body: Form = "array",
    field: str = "records",
    beside: Mapping[str, Any] | None = None,
    batch_rows: int = BATCH_ROWS,
    batch_bytes: int = BATCH_BYTES,
    idempotency_key: str | None = "Idempotency-Key",
    results: Items | None = None,
    auth: Authentication | None = None,
    headers: Mapping[str, str] | None = None,
    rate: RateLimit | None = None,
    key: Sequence[str] = (),
    duplicates: Literal["skip", "quarantine"] | None = None,
    resilience: Resilience | None = None,
    tls: TLS | None = None,
    plaintext: bool = False,
    fallback: Fallback | None = None,
) -> ApiDestination:
    """An API that takes rows as JSON over HTTP.

    Guarantee: exactly once by idempotency key, as far as the API keeps what the key promises; at least once without.

    Args:
        url: where rows are sent, such as `https://api.example.com/v1/orders/batch`. No other host is asked.
        method: `POST`, `PUT` or `PATCH`.
        body: `array` sends a JSON array, `lines` NDJSON, `object` an object with the array in it, `single` a row at a
            time.
        field: with `object`, the member that holds the rows.
        beside: with `object`, further members, the same each time; no secrets.
        batch_rows, batch_bytes: of a batch, at most; a row larger than that is sent alone.
        idempotency_key: the header in which each batch's key is sent; None for an API that knows none.
        results: how it tells of single rows: `rk.destinations.ItemResults` or `ItemErrors`. None: a batch is taken or
            refused as a whole.
        auth: who we are: `rk.sources.HeaderKey`, `Basic`, `Bearer`, `OAuth2`, `Signed`; secrets by reference.
        headers: sent with each request; no secrets.
        rate: how often the API may be asked; what it says itself of that is kept to in any case.
        key: the columns that identify a row, and `duplicates` what becomes of a second one in the same run: `skip` or
            `quarantine`.
        resilience: how calls survive: `rk.Resilience(...)`. None tries six times, waits for what a host asks, and gives
            each batch 5 minutes.
        tls: whose certificates are trusted, what is shown: `rk.TLS(...)`. None is what the settings say.
        plaintext: a host off this machine may be reached without TLS.
        fallback: what is done with a run that the API cannot take: None lets it fail; `spool` seals it into files.

    Raises:
        DeclarationError: the arguments do not fit together.
        SecretLiteral: a secret stands where a reference to one belongs.
    """
    made = ApiDestination(
        url=url,
        method=method,
        form=body,
        field=field,
        beside=dict(beside or {}),
        batch_rows=1 if body == "single" else batch_rows,
        batch_bytes=batch_bytes,
        idempotency_key=idempotency_key,
        results=results,
        auth=auth,
        headers=tuple((headers or {}).items()),
        rate=rate,
        key=names_of("key", key),
        duplicates=duplicates,
        tls=tls,
        plaintext=plaintext,
        fallback=fallback,
        resilience=resilience,
    )
    _check_place(made)
    _check_batches(made)
    _check_others(made)
    return made


def _check_place(made: ApiDestination) -> None:
    if not isinstance(made.url, str):
        raise DeclarationError("the URL of an API is a text", hint="such as https://api.example.com/v1/orders/batch")
    refuse_url(made.url, "rk.destinations.api(url)", hint="send it by auth=, such as rk.sources.Bearer")
    scheme, host, _ = place_of_url(made.url)
    if scheme not in ("http", "https"):
        raise DeclarationError(f"{host} is to be reached by {scheme}", hint="an API is reached by https")
    if made.method not in METHODS:
        raise DeclarationError(f"method={made.method!r} sends no rows", hint=one_of(made.method, METHODS))
    if made.auth is not None and not isinstance(made.auth, AUTHENTICATIONS):
        raise DeclarationError(
            f"auth={type(made.auth).__name__} is none", hint='such as auth=rk.sources.Bearer("env:API_TOKEN")'
        )
    if isinstance(made.auth, Signed) and made.auth.sign is not hmac_sha256:
        raise DeclarationError(
            "a run that died is gone on with from what the ledger knows of it, and a function is not in there",
            hint='auth=rk.sources.Signed("env:KEY") signs by HMAC-SHA256',
        )
    _refuse_secrets("headers", dict(made.headers))
    _refuse_secrets("beside", made.beside)
    try:
        json.dumps(dict(made.beside))
    except (TypeError, ValueError):
        raise DeclarationError("beside holds what is not JSON", hint="numbers, texts, lists, objects") from None


def _check_batches(made: ApiDestination) -> None:
    if made.form not in FORMS:
        raise DeclarationError(f"body={made.form!r} is no form", hint=one_of(made.form, FORMS))
    if made.beside and made.form != "object":
        raise DeclarationError("beside= are members of an object", hint='body="object", or leave it out')
    for name, most in (("batch_rows", BATCH_ROWS_MAX), ("batch_bytes", 1 << 30)):
        value = getattr(made, name)
        if type(value) is not int or not 0 < value <= most:
            raise DeclarationError(f"{name}={value!r}", hint=f"a number from 1 to {most:,}")
    header = made.idempotency_key
    if header is not None and not (isinstance(header, str) and header.replace("-", "").replace("_", "").isalnum()):
        raise DeclarationError(f"{header!r} is no name of a header", hint='idempotency_key="Idempotency-Key", or None')
    check_items(made.results)


def _check_others(made: ApiDestination) -> None:
    check_resilience(made.resilience, hedges=False)
    if made.rate is not None and not isinstance(made.rate, RateLimit):
        raise DeclarationError("rate is no rk.sources.RateLimit", hint="rate=rk.sources.RateLimit(100, seconds=60)")
    if made.duplicates is not None and made.duplicates not in POLICIES:
        raise DeclarationError(f"duplicates={made.duplicates!r} is no policy", hint=one_of(made.duplicates, POLICIES))
    if bool(made.key) != (made.duplicates is not None):
        raise DeclarationError(
            "key and duplicates belong together", hint='key=["id"], duplicates="skip", or leave both out'
        )
    check_fallback(made.fallback)


def _refuse_secrets(what: str, given: Mapping[str, Any]) -> None:
    """References are not followed there: what was meant as a secret would be sent as it stands."""
    for name, text in given.items():
        if isinstance(text, str) and (is_named_like_a_secret(name) or is_reference(text)):
            raise DeclarationError(
                f"{what}: {name} looks like a secret", hint="secrets are sent by auth=, such as rk.sources.HeaderKey"
            )


__all__ = ["ApiDestination", "ItemErrors", "ItemResults", "api"]
