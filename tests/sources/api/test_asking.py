"""One request: who we say we are, what is tried again, and what is one clear error."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import threading
import time
from pathlib import Path

import pytest

import rowkeeper as rk
from rowkeeper.errors import (
    AnswerIsError,
    AnswerTooLarge,
    AnswerUnreadable,
    ApiRefused,
    ApiUnauthorised,
    ApiUnavailable,
    DeadlineExceeded,
    DeclarationError,
    PlaintextRefused,
    RecordsMissing,
    RedirectRefused,
    SecretLiteral,
)
from tests.sources.api.conftest import QUICK, Loader
from tests.sources.api.shop import Asked, Said, Shop, basic, zipped
from tests.sources.api.test_paging import source

TOKEN = rk.sources.Token()


def failing(times: int, said: Said, at: str = "t10"):
    """Answers so the first times that the page of this token is asked for."""
    left = {"times": times}

    def answer(asked: Asked) -> Said | None:
        if asked.query.get("page_token", "") != at or not left["times"]:
            return None
        left["times"] -= 1
        return said

    return answer


# ------------------------------------------------------------------------------------------ who we are


def allowing(header: str, text: str):
    return lambda asked: None if asked.headers.get(header) == text else Said(status=401)


@pytest.mark.parametrize(
    ("auth", "header", "text"),
    [
        (rk.sources.HeaderKey("env:SHOP_SECRET"), "x-api-key", "sesame"),
        (rk.sources.HeaderKey("env:SHOP_SECRET", header="X-Shop"), "x-shop", "sesame"),
        (rk.sources.Basic("loader", password="env:SHOP_SECRET"), "authorization", basic("loader", "sesame")),
        (rk.sources.Bearer("env:SHOP_SECRET"), "authorization", "Bearer sesame"),
    ],
    ids=["header", "another header", "basic", "bearer"],
)
def test_credentials_go_with_each_request(auth, header, text, shop: Shop, tls, loader: Loader, monkeypatch):
    """By reference, in the place that the kind has for them."""
    monkeypatch.setenv("SHOP_SECRET", "sesame")
    shop.first = allowing(header, text)
    assert len(loader.load(source(shop, tls, "/token", TOKEN, auth=auth)).ids) == 25


def test_a_secret_that_was_rotated_is_read_anew_in_the_middle(shop: Shop, tls, loader: Loader, tmp_path: Path):
    """A 401 in the middle: the reference is followed again, once, and the page asked for again."""
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text("old")

    def answer(asked: Asked) -> Said | None:
        if asked.query.get("page_token") == "t10":
            file.write_text("new")
        wanted = "old" if "page_token" not in asked.query else "new"
        return None if asked.headers["authorization"] == f"Bearer {wanted}" else Said(status=401)

    shop.first = answer
    found = loader.load(source(shop, tls, "/token", TOKEN, auth=rk.sources.Bearer(f"file:{file}")))
    assert found.ids == list(range(25))
    assert len(shop.asked) == 4


@pytest.mark.parametrize("status", [401, 403])
def test_credentials_that_are_not_taken_are_one_error(status, shop: Shop, tls, loader: Loader, monkeypatch):
    """Renewed once, then told, without the secret."""
    monkeypatch.setenv("SHOP_SECRET", "sesame")
    shop.first = lambda _: Said({"message": "sesame is wrong"}, status=status)
    with pytest.raises(ApiUnauthorised) as caught:
        loader.load(source(shop, tls, "/token", TOKEN, auth=rk.sources.Bearer("env:SHOP_SECRET")))
    assert "sesame" not in f"{caught.value} {caught.value.hint} {caught.value.context}"
    assert len(shop.asked) == (2 if status == 401 else 1)


@pytest.mark.parametrize("sent", ["basic", "form"])
def test_oauth_tokens_are_asked_for_and_renewed(sent, shop: Shop, tls, loader: Loader, monkeypatch):
    """A token is asked for once, is used until it is refused, and then asked for anew."""
    monkeypatch.setenv("SHOP_SECRET", "se:same")
    given: list[Asked] = []

    def answer(asked: Asked) -> Said | None:
        if asked.path == "/oauth":
            given.append(asked)
            return Said({"access_token": f"token{len(given)}", "token_type": "Bearer", "expires_in": 3600})
        wanted = "token1" if asked.query.get("page_token", "t0") == "t0" else "token2"
        return None if asked.headers["authorization"] == f"Bearer {wanted}" else Said(status=401)

    shop.first = answer
    auth = rk.sources.OAuth2(f"{shop.url}/oauth", "loader", "env:SHOP_SECRET", scope="read all", sent=sent)
    assert loader.load(source(shop, tls, "/token", TOKEN, auth=auth)).ids == list(range(25))
    assert len(given) == 2
    form = given[0].body.decode()
    assert form.startswith("grant_type=client_credentials&scope=read+all")
    assert ("client_secret=se%3Asame" in form) == (sent == "form")
    assert (given[0].headers.get("authorization") == basic("loader", "se%3Asame")) == (sent == "basic")


def test_a_token_that_runs_out_is_renewed_before_it_does(shop: Shop, tls, loader: Loader, monkeypatch):
    """One that lasts no time is renewed for each page, before it is refused."""
    monkeypatch.setenv("SHOP_SECRET", "sesame")
    given: list[Asked] = []

    def answer(asked: Asked) -> Said | None:
        if asked.path == "/oauth":
            given.append(asked)
            return Said({"access_token": f"token{len(given)}", "token_type": "bearer", "expires_in": 0.000001})
        return None if asked.headers["authorization"] == f"Bearer token{len(given)}" else Said(status=401)

    shop.first = answer
    auth = rk.sources.OAuth2(f"{shop.url}/oauth", "loader", "env:SHOP_SECRET")
    assert loader.load(source(shop, tls, "/token", TOKEN, auth=auth)).ids == list(range(25))
    assert len(given) == 3


@pytest.mark.parametrize("said", [Said(status=400), Said({"token": "x"}), Said(content=b"<html>"), Said([1])])
def test_a_token_that_nobody_gives_is_one_error(said, shop: Shop, tls, loader: Loader, monkeypatch):
    """Whatever the token server says instead."""
    monkeypatch.setenv("SHOP_SECRET", "sesame")
    shop.first = lambda asked: said if asked.path == "/oauth" else None
    auth = rk.sources.OAuth2(f"{shop.url}/oauth", "loader", "env:SHOP_SECRET")
    with pytest.raises(ApiUnauthorised):
        loader.load(source(shop, tls, "/token", TOKEN, auth=auth))


def test_requests_are_signed(shop: Shop, tls, loader: Loader, monkeypatch):
    """By HMAC-SHA256 over time, method, URL and body; the server computes the same."""
    monkeypatch.setenv("SHOP_SECRET", "sesame")

    def answer(asked: Asked) -> Said | None:
        url = f"{shop.url}{asked.path}" + (f"?page_token={asked.query['page_token']}" if asked.query else "")
        text = "\n".join((asked.headers["x-timestamp"], asked.method, url, hashlib.sha256(asked.body).hexdigest()))
        good = hmac.new(b"sesame", text.encode(), hashlib.sha256).hexdigest() == asked.headers["x-signature"]
        return None if good else Said(status=401)

    shop.first = answer
    assert len(loader.load(source(shop, tls, "/token", TOKEN, auth=rk.sources.Signed("env:SHOP_SECRET"))).ids) == 25
    shop.first = lambda asked: None if asked.headers.get("x-mine") == "sesame GET" else Said(status=401)
    hook = rk.sources.Signed(
        "env:SHOP_SECRET", sign=lambda key, request: {"X-Mine": f"{key.decode()} {request.method}"}
    )
    assert len(loader.load(source(shop, tls, "/token", TOKEN, auth=hook)).ids) == 25


def test_literal_secrets_are_refused():
    """Wherever one could stand."""
    for declared in (
        lambda: rk.sources.Bearer("sesame"),
        lambda: rk.sources.HeaderKey("sesame"),
        lambda: rk.sources.Basic("loader", password="sesame"),  # pragma: allowlist secret
        lambda: rk.sources.OAuth2("https://a.example/t", "me", "sesame"),
        lambda: rk.sources.Signed("sesame"),
    ):
        with pytest.raises(SecretLiteral):
            declared()
    with pytest.raises(DeclarationError, match="looks like a secret"):
        rk.sources.api("https://a.example", headers={"Authorization": "Bearer x"})
    with pytest.raises(DeclarationError, match="looks like a secret"):
        rk.sources.api("https://a.example", params={"key": "env:SHOP_SECRET"})
    with pytest.raises(DeclarationError, match="user or a password"):
        rk.sources.api("https://me:sesame@a.example")


def test_the_places_it_connects_to_are_declared():
    """The API, and where its tokens come from; nothing else is reached."""
    auth = rk.sources.OAuth2("https://login.example/token", "loader", "env:SHOP_SECRET")
    found = rk.sources.api("https://api.example:8443/v1/things", auth=auth).endpoints()
    assert [str(each) for each in found] == ["api.example:8443", "login.example:443"]


# ------------------------------------------------------------------------------------------ what passes


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_errors_that_pass_are_asked_again(status, shop: Shop, tls, loader: Loader):
    """In the middle of the pages, twice: the load is whole."""
    shop.first = failing(2, Said(status=status))
    assert loader.load(source(shop, tls, "/token", TOKEN)).ids == list(range(25))
    assert len(shop.asked) == 5


def test_an_api_that_stays_down_is_one_error_that_may_pass(shop: Shop, tls, loader: Loader):
    """Told with the status; the run keeps what it staged."""
    shop.first = lambda _: Said(status=503)
    with pytest.raises(ApiUnavailable, match="answers 503") as caught:
        loader.load(source(shop, tls, "/token", TOKEN))
    assert caught.value.retryable


def test_a_host_that_asks_for_time_is_given_it(shop: Shop, tls, loader: Loader):
    """Retry-After is waited for."""
    shop.first = failing(1, Said(status=429, headers={"Retry-After": "1"}))
    began = time.monotonic()
    assert len(loader.load(source(shop, tls, "/token", TOKEN)).ids) == 25
    assert time.monotonic() - began >= 1.0


def test_a_host_that_asks_for_too_much_time_is_told_at_once(shop: Shop, tls, loader: Loader):
    """A wait beyond the deadline is not begun."""
    shop.first = failing(1, Said(status=429, headers={"Retry-After": "3600"}))
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        loader.load(source(shop, tls, "/token", TOKEN))
    assert time.monotonic() - began < 5.0


@pytest.mark.parametrize(
    "headers",
    [
        {"RateLimit": '"default";r=0;t=1', "RateLimit-Policy": '"default";q=100;w=60'},
        {"RateLimit-Remaining": "0", "RateLimit-Reset": "1"},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"},
    ],
    ids=["RateLimit", "former", "X-"],
)
def test_a_limit_that_is_used_up_is_waited_for(headers, shop: Shop, tls, loader: Loader):
    """No request is sent before the host says that it may be; none is refused."""
    shop.first = lambda asked: (
        Said({"items": shop.rows[:10], "next_page_token": "t10"}, headers=headers) if not asked.query else None
    )
    began = time.monotonic()
    assert loader.load(source(shop, tls, "/token", TOKEN)).ids == list(range(25))
    assert time.monotonic() - began >= 1.0


def test_a_declared_limit_is_kept(shop: Shop, tls, loader: Loader):
    """Two requests in any half second: the third waits."""
    times: list[float] = []
    shop.first = lambda _: times.append(time.monotonic())
    rate = rk.sources.RateLimit(2, seconds=0.5)
    loader.load(source(shop, tls, "/token", TOKEN, rate=rate))
    assert times[2] - times[0] >= 0.45


def test_a_peer_that_says_nothing_is_given_up_at_the_deadline(shop: Shop, tls, loader: Loader):
    """The time of a call is over when it is, whatever the other side does."""
    release = threading.Event()
    shop.first = lambda _: (release.wait(20), None)[1]
    policy = rk.Resilience(retry=rk.Retry(attempts=1, attempt_seconds_max=0.5), breaker=None, deadline_seconds=0.5)
    began = time.monotonic()
    try:
        with pytest.raises((DeadlineExceeded, ApiUnavailable)):
            loader.load(source(shop, tls, "/token", TOKEN, resilience=policy))
    finally:
        release.set()
    assert time.monotonic() - began < 5.0


# ------------------------------------------------------------------------------------------ bad answers


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (b"<!DOCTYPE html><html>log in</html>", AnswerUnreadable, "HTML"),
        (b"<?xml version='1.0'?><a/>", AnswerUnreadable, "XML"),
        (b"", AnswerUnreadable, "with nothing"),
        (b'{"items": [{"id": 1}, {"id"', AnswerUnreadable, "breaks off"),
        (b'{"items": [{"id": 1}] oops}', AnswerUnreadable, "not JSON"),
        (b"[" * 100_000, AnswerUnreadable, "not JSON"),
        (b'{"error": {"message": "sesame"}, "items": []}', AnswerIsError, r"at \$.error"),
        (b'{"errors": [{"message": "sesame"}], "items": [{"id": 1}]}', AnswerIsError, r"at \$.errors"),
        (b'{"ok": false, "items": [{"id": 1}]}', AnswerIsError, r"at \$.ok"),
        (b'{"things": [{"id": 1}]}', RecordsMissing, r"without records at \$.items"),
        (b'{"items": 7}', RecordsMissing, "without records"),
        (b"[1, 2]", RecordsMissing, "without records"),
        (b"7", RecordsMissing, "without records"),
    ],
    ids=lambda value: value[:30].decode(errors="replace") if isinstance(value, bytes) else None,
)
def test_what_is_no_answer_is_one_clear_error(content, error, words, shop: Shop, tls, loader: Loader):
    """Each fault by its name, and never with what the API said."""
    shop.first = lambda _: Said(content=content)
    with pytest.raises(error, match=words) as caught:
        loader.load(source(shop, tls, "/token", TOKEN))
    assert "sesame" not in f"{caught.value} {caught.value.hint}"


def test_errors_that_are_none_are_let_pass(shop: Shop, tls, loader: Loader):
    """Empty ones; and all of them where error=None says so; a path of one's own is looked at instead."""
    shop.first = lambda _: Said({"error": None, "errors": [], "items": [{"id": 1}]})
    assert loader.load(source(shop, tls, "/token", TOKEN)).ids == [1]
    shop.first = lambda _: Said({"errors": ["partial"], "items": [{"id": 1}]})
    assert loader.load(source(shop, tls, "/token", TOKEN, error=None)).ids == [1]
    shop.first = lambda _: Said({"status": {"failure": "x"}, "items": [{"id": 1}]})
    with pytest.raises(AnswerIsError):
        loader.load(source(shop, tls, "/token", TOKEN, error="$.status.failure"))


@pytest.mark.parametrize("status", [400, 404, 405, 410, 422, 304, 501])
def test_a_refusal_is_told_with_its_status(status, shop: Shop, tls, loader: Loader):
    """And not asked again."""
    shop.first = lambda _: Said({"message": "sesame"}, status=status)
    with pytest.raises(ApiRefused, match=f"answers {status}") as caught:
        loader.load(source(shop, tls, "/token?q=sesame", TOKEN))
    assert "sesame" not in f"{caught.value} {caught.value.hint} {caught.value.context}"
    assert len(shop.asked) == 1


def test_packed_answers_are_unpacked(shop: Shop, tls, loader: Loader):
    """Gzip was asked for; a second member of it is read as well."""
    shop.first = lambda _: zipped({"items": [{"id": 1}]})
    assert loader.load(source(shop, tls, "/token", TOKEN)).ids == [1]
    halves = gzip.compress(b'{"items": [{"id"') + gzip.compress(b": 2}]}")
    shop.first = lambda _: Said(content=halves, headers={"Content-Encoding": "gzip"})
    assert loader.load(source(shop, tls, "/token", TOKEN)).ids == [2]
    assert shop.asked[0].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize(
    ("content", "coding", "error"),
    [
        (lambda: gzip.compress(b"[" + b" " * (64 << 20) + b"]"), "gzip", AnswerTooLarge),
        (lambda: zipped({"items": [{"id": n} for n in range(999)]}).content[:-9], "gzip", AnswerUnreadable),
        (lambda: b"not gzip at all", "gzip", AnswerUnreadable),
        (lambda: b"whatever", "br", AnswerUnreadable),
        (lambda: b'{"items": [' + b" " * (2 << 20) + b"]}", "identity", AnswerTooLarge),
    ],
    ids=["bomb", "breaks off", "damaged", "not asked for", "large"],
)
def test_what_cannot_be_unpacked_within_bounds_is_told(content, coding, error, shop: Shop, tls, loader: Loader):
    """A bomb is given up at the limit, long before it is unpacked."""
    packed = content()  # made here: who only collects the tests would take seconds for the bomb
    shop.first = lambda _: Said(content=packed, headers={"Content-Encoding": coding})
    with pytest.raises(error):
        loader.load(source(shop, tls, "/token", TOKEN, page_bytes_max=1 << 20))


def test_another_charset_is_believed_if_it_is_named(shop: Shop, tls, loader: Loader):
    """And what it is not in is told."""
    document = '{"items": [{"id": 1, "name": "Ærø"}]}'
    shop.first = lambda _: Said(
        content=document.encode("latin-1"), headers={"Content-Type": "text/json; charset=latin-1"}
    )
    assert loader.load(source(shop, tls, "/token", TOKEN)).records == [{"id": 1, "name": "Ærø"}]
    shop.first = lambda _: Said(content=b"\xff\xfe", headers={"Content-Type": "text/json; charset=klingon"})
    with pytest.raises(AnswerUnreadable, match="charset"):
        loader.load(source(shop, tls, "/token", TOKEN))


def test_a_redirect_to_another_host_is_refused(shop: Shop, tls, loader: Loader):
    """One that stays at the host is followed."""
    shop.first = lambda asked: (
        Said(status=307, headers={"Location": f"/token?page_token={asked.query.get('page_token', 't0')}"})
        if asked.path == "/old"
        else None
    )
    assert len(loader.load(source(shop, tls, "/old", TOKEN)).ids) == 25
    shop.first = lambda _: Said(status=302, headers={"Location": "https://elsewhere.example/"})
    with pytest.raises(RedirectRefused):
        loader.load(source(shop, tls, "/token", TOKEN))


def test_other_machines_are_asked_by_tls(loader: Loader):
    """Plain HTTP off this machine is refused before anything is sent."""
    with pytest.raises(PlaintextRefused):
        loader.load(rk.sources.api("http://api.example/things", resilience=QUICK))


def test_lines_are_records(shop: Shop, tls, loader: Loader):
    """An answer in NDJSON has a record in each line."""
    assert loader.load(source(shop, tls, "/lines", records="lines")).ids == list(range(25))


def test_numbers_null_and_absent_are_as_the_api_wrote_them(shop: Shop, tls, loader: Loader):
    """Records keep their bytes: no digit is lost, and what is absent does not become null."""
    wanted = [
        b'{"id": 1, "amount": 1.10, "big": 12345678901234567890123456789}',
        b'{"id": 2, "amount": null}',
        b'{"id": 3, "amount": 1e400}',
    ]
    shop.first = lambda _: Said(content=b'{"items": [' + b",\r\n ".join(wanted) + b"]}")
    made = source(shop, tls, "/token", TOKEN)
    (partition,) = loader.plan(made).to_read
    found = [each for batch in loader.batches(made, partition) for each in batch.table["_rk_line"].to_pylist()]
    assert found == wanted
