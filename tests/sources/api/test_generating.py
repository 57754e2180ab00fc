"""Generators: what is yielded is loaded, from the cursor on, and gone on with."""

from __future__ import annotations

import dataclasses
from decimal import Decimal

import pytest

import rowkeeper as rk
from rowkeeper.errors import ApiRefused, DeclarationError, PagesChanged, RedirectRefused, TransformError
from tests.sources.api.conftest import QUICK, Loader, documents
from tests.sources.api.shop import Said, Shop

Records = rk.sources.Records


def counted(cursor):
    """Ten pages of three."""
    for page in range(cursor or 0, 10):
        yield Records([{"id": page * 3 + number} for number in range(3)], cursor=page + 1)


def test_all_that_is_yielded_is_loaded(loader: Loader):
    """Dicts, and documents as they stand."""
    assert loader.load(rk.sources.python(counted)).ids == list(range(30))
    made = rk.sources.python(lambda _: iter([Records([b'{"id": 1.10}', {"id": Decimal("2.20")}], cursor=None)]))
    (partition,) = loader.plan(made).to_read
    batch, *_ = loader.batches(made, partition)
    assert batch.table["_rk_line"].to_pylist() == [b'{"id": 1.10}', b'{"id":2.20}']


@pytest.mark.parametrize("batch_rows", [2, 3, 4, 7])
def test_it_goes_on_after_any_batch(batch_rows, loader: Loader):
    """Called with the cursor, it yields what follows; what it yields again is passed over."""
    loader.batch_rows = batch_rows
    made = rk.sources.python(counted)
    (partition,) = loader.plan(made).to_read
    whole = list(loader.batches(made, partition))
    for cut in range(1, len(whole)):
        left = dataclasses.replace(partition, position=whole[cut - 1].position)
        rest = loader.batches(made, left, whole[cut - 1].next_row)
        found = [each["id"] for batch in [*whole[:cut], *rest] for each in documents(batch)]
        assert found == list(range(30))


def test_other_records_after_the_same_cursor_are_told(loader: Loader):
    """A generator that does not keep its word is found out where it goes on in the midst of records."""
    loader.batch_rows = 2
    pages = iter([[{"id": 1}, {"id": 2}, {"id": 3}], [{"id": 4}, {"id": 5}]])
    made = rk.sources.python(lambda _: iter([Records(next(pages), cursor=1)]))
    (partition,) = loader.plan(made).to_read
    before = next(loader.batches(made, partition))
    with pytest.raises(PagesChanged):
        list(loader.batches(made, dataclasses.replace(partition, position=before.position), 2))


def test_incremental_ones_go_on_from_the_last_cursor(loader: Loader):
    """What follows is added; where nothing does, nothing is loaded."""
    stock = list(range(5))

    def numbers(cursor):
        for number in stock[cursor or 0 :]:
            yield Records([{"id": number}], cursor=number + 1)

    made, loaded = rk.sources.python(numbers, incremental=True), {}
    assert loader.load(made, loaded).ids == [0, 1, 2, 3, 4]
    assert loader.plan(made, loaded).to_read == ()
    stock += [5, 6]
    assert loader.load(made, loaded).ids == [5, 6]
    stock += [7]
    assert loader.load(made, loaded).ids == [7]
    assert list(loaded) == ["numbers #1", "numbers #2", "numbers #3"]


def test_it_asks_an_api_by_the_one_way_out(shop: Shop, tls, loader: Loader, monkeypatch):
    """With credentials, retries and all; and nothing but that host."""
    monkeypatch.setenv("SHOP_SECRET", "sesame")
    failed = []

    def answer(asked):
        if asked.headers.get("authorization") != "Bearer sesame":
            return Said(status=401)
        if not failed:
            failed.append(1)
            return Said(status=503)
        return None

    shop.first = answer

    def things(api, cursor):
        after = -1 if cursor is None else cursor
        while found := api.get("after", after=after).json()["items"]:
            after = found[-1]["id"]
            yield Records(found, cursor=after)
        assert api.post("/search", {}).headers["content-length"]

    made = rk.sources.python(
        things, base=shop.url, auth=rk.sources.Bearer("env:SHOP_SECRET"), tls=tls, resilience=QUICK
    )
    assert loader.load(made).ids == list(range(25))
    assert [str(each) for each in made.endpoints()] == [f"localhost:{shop.server_port}"]

    def elsewhere(api, cursor):
        api.get("https://elsewhere.example/things")
        yield Records([], cursor=cursor)

    with pytest.raises(RedirectRefused):
        loader.load(dataclasses.replace(made, generate=elsewhere))

    def unknown(api, cursor):
        api.get("/unknown")
        yield Records([], cursor=cursor)

    with pytest.raises(ApiRefused):
        loader.load(dataclasses.replace(made, generate=unknown))


@pytest.mark.parametrize(
    ("generator", "words"),
    [
        (lambda _: 1 / 0, "raised ZeroDivisionError"),
        (lambda _: iter([{"id": 1}]), "yields what is no rk.sources.Records"),
        (lambda _: iter([Records([object()], cursor=1)]), "cannot be JSON"),
        (lambda _: iter([Records([{"id": 1}], cursor=object())]), "cannot be JSON"),
        (lambda _: 7, "raised TypeError"),
    ],
)
def test_what_is_wrong_with_it_is_one_error(generator, words, loader: Loader):
    """The user's own code, without its words."""
    with pytest.raises(TransformError, match=words):
        loader.load(rk.sources.python(generator, name="mine"))


def test_what_cannot_be_is_refused_when_it_is_declared():
    """No function; and what belongs to an API, without one."""
    with pytest.raises(DeclarationError):
        rk.sources.python([1, 2])
    with pytest.raises(DeclarationError, match="are of an API"):
        rk.sources.python(counted, auth=rk.sources.Bearer("env:X"))
