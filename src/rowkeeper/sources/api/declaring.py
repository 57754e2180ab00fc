"""`rk.sources.api` and `rk.sources.python`: what a person writes, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

from rowkeeper.apis.answers import ERRORS, LINES
from rowkeeper.apis.asking import PAGE_BYTES_MAX, Where
from rowkeeper.apis.requests import Request
from rowkeeper.apis.selecting import Path
from rowkeeper.configuration.literal import is_named_like_a_secret
from rowkeeper.configuration.reference import is_reference
from rowkeeper.endpoints import place_of_url
from rowkeeper.errors import DeclarationError
from rowkeeper.resilience.policy import Resilience, check_resilience
from rowkeeper.resilience.rates import RateLimit
from rowkeeper.security.httpauth import AUTHENTICATIONS, Authentication
from rowkeeper.security.tls import TLS
from rowkeeper.sources.api.binding import names_in
from rowkeeper.sources.api.generating import Generate, PythonSource
from rowkeeper.sources.api.increments import Incremental
from rowkeeper.sources.api.paging import Cursor, NextLink, Pagination, SinglePage, Token
from rowkeeper.sources.api.source import ApiSource
from rowkeeper.sources.api.walking import PAGES_MAX, PageWalk


def api(
    url: str,
    *,
    records: str = "$[*]",
    pagination: Pagination | None = None,
    auth: Authentication | None = None,
    incremental: Incremental | None = None,
    params: Mapping[str, str | int] | None = None,
    body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    rate: RateLimit | None = None,
    error: str | Sequence[str] | None = ERRORS,
    parent: ApiSource | None = None,
    bind: Mapping[str, str] | None = None,
    include: Mapping[str, str] | None = None,
    conditional: bool = True,
    pages_max: int = PAGES_MAX,
    page_bytes_max: int = PAGE_BYTES_MAX,
    name: str | None = None,
    resilience: Resilience | None = None,
    tls: TLS | None = None,
    plaintext: bool = False,
) -> ApiSource:
    """Records of an API that speaks JSON over HTTP.

    Without `incremental` each run reads everything, and its rows take the place of those of the run before. With it
    each run reads what has changed since, and adds it.

    Args:
        url: what is asked, such as `https://api.example.com/v1/orders`. No other host is.
        records: a JSONPath (RFC 9535) to the records in an answer; `lines` for answers in NDJSON.
        pagination: how one page leads to the next: `PageNumber`, `Offset`, `Cursor`, `Token`, `NextLink`, `LinkHeader`.
            None: all comes at once.
        auth: who we are: `HeaderKey`, `Basic`, `Bearer`, `OAuth2`, `Signed`; secrets by reference.
        incremental: by which field what is new is known.
        params: parameters of the query, sent with each first request.
        body: a JSON object; then it is a POST, which must be a search: it may be sent more than once.
        headers: sent with each request; no secrets.
        rate: how often the API may be asked; what it says itself of that is kept to in any case.
        error: JSONPaths to what must not be in an answer; None looks for none. `ok` or `success` that is false is an
            error as well.
        parent: another API source, for each record of which this one is asked.
        bind: by name, the JSONPath in a record of the parent to what stands for `{name}` in `url`.
        include: by name, the JSONPath in a record of the parent to what each record of this one is given as a member.
        conditional: where everything is read, the pages are asked first whether they are as they were (ETag,
            Last-Modified); if all of them say so, nothing is read.
        pages_max: more pages than this are taken for endless.
        page_bytes_max: more bytes than this, unpacked, are no page.
        name: of the source in the ledger, for good; None is the URL without its query. Two sources of one pipeline
            cannot be, so it is of use where an API moves.
        resilience: how calls survive: `rk.Resilience(...)`. None tries six times, waits for what a host asks, and gives
            each page 15 minutes.
        tls: whose certificates are trusted, what is shown: `rk.TLS(...)`. None is what the settings say.
        plaintext: a host off this machine may be asked without TLS.

    Raises:
        DeclarationError: an argument is not possible.
        SecretLiteral: a secret stands where a reference to one belongs.
    """
    sent = tuple((headers or {}).items())
    where = _checked(Where(url, auth, sent, rate, resilience, tls, plaintext, page_bytes_max))
    if records != LINES:
        Path(records)
    if pagination is not None and not isinstance(pagination, Pagination):
        raise DeclarationError(
            f"pagination={type(pagination).__name__} is none", hint='such as rk.sources.Token(at="$.next_page_token")'
        )
    if records == LINES and isinstance(pagination, (Cursor, NextLink, Token)):
        raise DeclarationError(
            'records="lines" has no body to look for the next page in',
            hint="use PageNumber, Offset or LinkHeader",
        )
    errors = (error,) if isinstance(error, str) else None if error is None else tuple(error)
    for path in errors or ():
        Path(path)
    if incremental is not None and not isinstance(incremental, Incremental):
        raise DeclarationError(
            "incremental is no rk.sources.Incremental",
            hint='incremental=rk.sources.Incremental("$.updated_at", param="updated_since")',
        )
    if not isinstance(pages_max, int) or pages_max < 1:
        raise DeclarationError(f"pages_max={pages_max!r}", hint="a number of pages from 1 on")
    _check_children(url, parent, bind or {}, include or {}, where)
    request = Request(_with_params(url, params), None if body is None else dict(body))
    return ApiSource(
        name=name or url.partition("?")[0],
        where=where,
        calls=PageWalk(request, pagination or SinglePage(), records, errors, pages_max),
        parent=None if parent is None else parent.calls,
        bound=dict(bind or {}),
        included=dict(include or {}),
        incremental=incremental,
        conditional=conditional,
    )


def python(
    generator: Generate,
    *,
    base: str | None = None,
    incremental: bool = False,
    auth: Authentication | None = None,
    headers: Mapping[str, str] | None = None,
    rate: RateLimit | None = None,
    page_bytes_max: int = PAGE_BYTES_MAX,
    name: str | None = None,
    resilience: Resilience | None = None,
    tls: TLS | None = None,
    plaintext: bool = False,
) -> PythonSource:
    """Records that a generator of your own yields.

    Args:
        generator: a function of a cursor (None at first) that yields `rk.sources.Records(records, cursor=...)`; called
            with one of its cursors, it yields what follows. With `base` it is a function of an API and a cursor.
        base: the URL of an API, such as `https://api.example.com/v1`, that it asks by `api.get(path, **parameters)` and
            `api.post(path, body)`.
        incremental: each run goes on from the cursor of the last one, and adds its rows. Otherwise each run begins
            without a cursor, and its rows take the place of those before.
        name: of the source in the ledger, for good; None is the function's.

    The other arguments are those of `rk.sources.api`.

    Raises as `rk.sources.api` does.
    """
    if not callable(generator):
        raise DeclarationError("the generator is no function", hint="rk.sources.python(my_generator)")
    where = None
    if base is not None:
        sent = tuple((headers or {}).items())
        where = _checked(Where(base, auth, sent, rate, resilience, tls, plaintext, page_bytes_max))
    elif any(each is not None for each in (auth, headers, rate, resilience, tls)):
        raise DeclarationError("auth, headers, rate, resilience and tls are of an API", hint="give its URL: base=")
    return PythonSource(generator, name or _name_of(generator), where, incremental)


def _checked(where: Where) -> Where:
    if not isinstance(where.base, str):
        raise DeclarationError("the URL of an API is a text", hint="such as https://api.example.com/v1/orders")
    scheme, host, _ = place_of_url(where.base)
    if scheme not in ("http", "https"):
        raise DeclarationError(f"{host} is to be asked by {scheme}", hint="an API is asked by https")
    if where.auth is not None and not isinstance(where.auth, AUTHENTICATIONS):
        raise DeclarationError(
            f"auth={type(where.auth).__name__} is none", hint='such as auth=rk.sources.Bearer("env:API_TOKEN")'
        )
    _refuse_references("headers", dict(where.headers))
    if where.rate is not None and not isinstance(where.rate, RateLimit):
        raise DeclarationError("rate is no rk.sources.RateLimit", hint="rate=rk.sources.RateLimit(100, seconds=60)")
    check_resilience(where.resilience, hedges=False)
    if type(where.page_bytes_max) is not int or where.page_bytes_max < 1:
        raise DeclarationError(f"page_bytes_max={where.page_bytes_max!r}", hint="a number of bytes from 1 on")
    return where


def _check_children(
    url: str, parent: ApiSource | None, bind: Mapping[str, str], include: Mapping[str, str], where: Where
) -> None:
    for path in (*bind.values(), *include.values()):
        Path(path)
    names = names_in(url)
    if set(names) != set(bind):
        raise DeclarationError(
            f"the URL of {place_of_url(url)[1]} and bind= do not name the same",
            hint="each {name} in the URL needs a JSONPath in the parent's record: bind={'id': '$.id'}",
        )
    if parent is None:
        if bind or include:
            raise DeclarationError("bind and include are of a parent's records", hint="give it: parent=")
        return
    if not isinstance(parent, ApiSource) or parent.parent is not None or parent.incremental is not None:
        raise DeclarationError(
            "a parent is an API source that is read whole, and has no parent itself",
            hint="leave incremental= out of it; what is new can be asked of the child",
        )
    if place_of_url(parent.where.base) != place_of_url(where.base):
        raise DeclarationError("parent and child are of different hosts", hint="both are asked with the same auth=")


def _with_params(url: str, params: Mapping[str, str | int] | None) -> str:
    if not params:
        return url
    _refuse_references("params", params)
    return url + ("&" if urlsplit(url).query else "?") + urlencode({name: str(text) for name, text in params.items()})


def _refuse_references(what: str, given: Mapping[str, Any]) -> None:
    """References in headers and parameters are not followed: what was meant as a secret would be sent as it stands."""
    for name, text in given.items():
        if isinstance(text, str) and (is_named_like_a_secret(name) or is_reference(text)):
            raise DeclarationError(
                f"{what}: {name} looks like a secret", hint="secrets are sent by auth=, such as rk.sources.HeaderKey"
            )


def _name_of(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", type(function).__name__))
