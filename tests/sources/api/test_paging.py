"""Every way of paging gives every record, once and in order."""

from __future__ import annotations

import pytest

import rowkeeper as rk
from rowkeeper.errors import (
    CursorWentBack,
    DeclarationError,
    PagesChanged,
    PagesEndless,
    RecordsMissing,
    RedirectRefused,
)
from tests.sources.api.conftest import QUICK, Loader
from tests.sources.api.shop import Asked, Said, Shop

ITEMS = "$.items[*]"


def source(shop: Shop, tls: rk.TLS, path: str, pagination: object = None, **more: object) -> rk.sources.ApiSource:
    options = {"records": ITEMS, "tls": tls, "resilience": QUICK, **more}
    return rk.sources.api(f"{shop.url}{path}", pagination=pagination, **options)


WAYS = {
    "page": ("/page", rk.sources.PageNumber()),
    "page with total": ("/page", rk.sources.PageNumber(total="$.total")),
    "offset": ("/offset", rk.sources.Offset()),
    "offset with size": ("/offset", rk.sources.Offset(size=10, total="$.total")),
    "cursor": ("/after", rk.sources.Cursor(param="after", field="$.id", order="ascending")),
    "cursor with more": ("/after", rk.sources.Cursor(param="after", field="$.id", more="$.more")),
    "token": ("/token", rk.sources.Token()),
    "token in the body": ("/search", rk.sources.Token(sent="body")),
    "next link": ("/next", rk.sources.NextLink()),
    "link header": ("/link", rk.sources.LinkHeader()),
}


@pytest.mark.parametrize("way", WAYS)
def test_all_records_come_once_and_in_order(way: str, shop: Shop, tls: rk.TLS, loader: Loader):
    """25 records in pages of 10, by each way of paging; a way that knows its end does not ask beyond it."""
    path, pagination = WAYS[way]
    more = {"records": "$[*]"} if path == "/link" else {}
    if path == "/search":
        more["body"] = {"sort": "id"}
    found = loader.load(source(shop, tls, path, pagination, **more))
    assert found.ids == list(range(25))
    asks_beyond = way in ("page", "offset", "cursor")
    assert len(shop.asked) == (4 if asks_beyond else 3)


def test_one_connection_serves_a_whole_load(shop: Shop, tls: rk.TLS, loader: Loader):
    """The pages of a load go over one connection that is kept."""
    loader.load(source(shop, tls, "/token", rk.sources.Token()))
    assert (len(shop.asked), shop.connections) == (3, 1)


def test_a_search_by_post_sends_its_body_with_each_page(shop: Shop, tls: rk.TLS, loader: Loader):
    """The token joins what was declared, and is sent in the body."""
    loader.load(source(shop, tls, "/search", rk.sources.Token(sent="body"), body={"sort": "id"}))
    assert [each.json for each in shop.asked] == [
        {"sort": "id"},
        {"page_token": "t10", "sort": "id"},
        {"page_token": "t20", "sort": "id"},
    ]


def test_no_records_are_no_fault(shop: Shop, tls: rk.TLS, loader: Loader):
    """An empty list, and a list that is null, are loads without rows."""
    shop.rows = []
    assert loader.load(source(shop, tls, "/token", rk.sources.Token())).records == []
    shop.first = lambda _: Said({"items": None})
    assert loader.load(source(shop, tls, "/token", rk.sources.Token())).records == []


@pytest.mark.parametrize("circle", [1, 2, 3, 7, 20])
def test_a_circle_of_any_length_is_found(circle: int, shop: Shop, tls: rk.TLS, loader: Loader):
    """Links that lead back are told, after a few rounds at most."""

    def answer(asked: Asked) -> Said:
        at = int(asked.query.get("from", 0))
        return Said({"items": [{"id": at}], "next": f"/next?from={(at + 1) % circle}"})

    shop.first = answer
    with pytest.raises(PagesEndless, match="lead back"):
        loader.load(source(shop, tls, "/next?from=0", rk.sources.NextLink()))
    assert len(shop.asked) <= 4 * circle


def test_an_api_that_gives_its_first_page_for_ever_is_found(shop: Shop, tls: rk.TLS, loader: Loader):
    """A parameter that the API does not know changes nothing: the same page, again and again."""
    shop.first = lambda _: Said({"items": [{"id": 1}]})
    with pytest.raises(PagesEndless, match="the same page 3 times"):
        loader.load(source(shop, tls, "/page", rk.sources.PageNumber()))


def test_pages_without_an_end_are_given_up(shop: Shop, tls: rk.TLS, loader: Loader):
    """Links that are always new come to an end at pages_max."""

    def answer(asked: Asked) -> Said:
        at = int(asked.query.get("from", 0))
        return Said({"items": [{"id": at}], "next": f"/next?from={at + 1}"})

    shop.first = answer
    with pytest.raises(PagesEndless, match="more than 5 pages"):
        loader.load(source(shop, tls, "/next", rk.sources.NextLink(), pages_max=5))


def test_a_total_that_changes_between_pages_is_told(shop: Shop, tls: rk.TLS, loader: Loader):
    """A record that is deleted meanwhile moves the others: what was between two pages would be missing."""

    def answer(asked: Asked) -> None:
        if asked.query["page"] == "2":
            del shop.rows[0]

    shop.first = answer
    with pytest.raises(PagesChanged, match=r"had 25 records .* and has 24 now"):
        loader.load(source(shop, tls, "/page", rk.sources.PageNumber(total="$.total")))


def test_a_total_that_is_not_what_came_is_told(shop: Shop, tls: rk.TLS, loader: Loader):
    """Pages that end before all that was promised came are no whole load."""
    shop.first = lambda asked: Said({"items": [], "total": 25}) if asked.query["page"] == "2" else None
    with pytest.raises(PagesChanged, match="25 records by its own word, and 10 on its pages"):
        loader.load(source(shop, tls, "/page", rk.sources.PageNumber(total="$.total")))


def test_a_cursor_that_goes_backwards_is_told(shop: Shop, tls: rk.TLS, loader: Loader):
    """Where the order was declared, a page that ends before the one it follows is a fault."""
    pages = iter([[{"id": 5}], [{"id": 4}], [{"id": 9}]])
    shop.first = lambda _: Said({"items": next(pages)})
    with pytest.raises(CursorWentBack, match="does not follow"):
        loader.load(source(shop, tls, "/after", rk.sources.Cursor(field="$.id", order="ascending")))


def test_a_link_to_another_host_is_refused(shop: Shop, tls: rk.TLS, loader: Loader):
    """Nobody is led elsewhere by what an API answers, to another port neither."""
    for link in ("https://elsewhere.example/next", f"https://localhost:{shop.server_port + 1}/next", "http://[::"):
        shop.first = lambda _, link=link: Said({"items": [], "next": link})
        with pytest.raises(RedirectRefused):
            loader.load(source(shop, tls, "/next", rk.sources.NextLink()))


def test_our_own_credentials_in_a_link_are_not_kept(shop: Shop, tls: rk.TLS, loader: Loader):
    """An access token that an API writes into the next link is left out: of the request, and of the position."""
    shop.first = lambda asked: (
        None if "from" in asked.query else Said({"items": [], "next": "/next?from=20&access_token=hunter2"})
    )
    batches = loader.load(source(shop, tls, "/next", rk.sources.NextLink()))
    assert batches.ids == [20, 21, 22, 23, 24]
    assert all("access_token" not in each.query for each in shop.asked)


def test_a_cursor_that_is_missing_is_told(shop: Shop, tls: rk.TLS, loader: Loader):
    """A last record without the field leads nowhere, which is no end."""
    shop.first = lambda _: Said({"items": [{"id": 1}, {"id": None}]})
    with pytest.raises(RecordsMissing, match=r"has no \$.id"):
        loader.load(source(shop, tls, "/after", rk.sources.Cursor(field="$.id")))


@pytest.mark.parametrize(
    "declared",
    [
        lambda: rk.sources.PageNumber(size=0),
        lambda: rk.sources.Token(at="next"),
        lambda: rk.sources.Cursor(field="$.items["),
        lambda: rk.sources.Token(sent="header"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_declared(declared):
    """Before anything is asked."""
    with pytest.raises(DeclarationError):
        declared()
