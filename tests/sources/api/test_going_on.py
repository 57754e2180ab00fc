"""A load that broke off goes on where it was, or is told that it cannot; never with other records than were staged."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

import rowkeeper as rk
from rowkeeper.errors import ApiRefused, PagesChanged
from tests.sources.api.conftest import Loader, documents
from tests.sources.api.shop import Asked, Said, Shop
from tests.sources.api.test_increments import minute, row
from tests.sources.api.test_paging import WAYS, source


def gone_on(loader: Loader, made, partition, batches: int):
    """Reads so many batches, then goes on with the position of the last, as another process would.

    Returns the records of both, and the number of rows of the first.
    """
    before = list(itertools.islice(loader.batches(made, partition), batches))
    at = before[-1].next_row
    left = dataclasses.replace(partition, position=before[-1].position)
    after = list(loader.batches(made, left, at))
    assert after[0].first_row == at
    return [each for batch in [*before, *after] for each in documents(batch)], at


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("batch_rows", [7, 10])
def test_it_goes_on_after_any_batch(way, batch_rows, shop: Shop, tls, loader: Loader):
    """In the midst of a page and between two, by every way of paging: all records once, in order."""
    path, pagination = WAYS[way]
    more = {"records": "$[*]"} if path == "/link" else {"body": {}} if path == "/search" else {}
    loader.batch_rows = batch_rows
    made = source(shop, tls, path, pagination, **more)
    (partition,) = loader.plan(made).to_read
    for batches in range(1, 25 // batch_rows + 2):
        found, _ = gone_on(loader, made, partition, batches)
        assert [each["id"] for each in found] == list(range(25)), batches


def test_pages_that_were_staged_are_not_asked_for_again(shop: Shop, tls, loader: Loader):
    """Between two pages the next request is the next page's."""
    made = source(shop, tls, "/token", rk.sources.Token())
    (partition,) = loader.plan(made).to_read
    gone_on(loader, made, partition, 2)
    tokens = [each.query.get("page_token") for each in shop.asked]
    assert tokens == [None, "t10", "t20"]


def test_other_records_in_the_midst_of_a_page_are_told(shop: Shop, tls, loader: Loader):
    """The page is asked for again, and is not what was staged."""
    loader.batch_rows = 7
    made = source(shop, tls, "/token", rk.sources.Token())
    (partition,) = loader.plan(made).to_read
    before = next(loader.batches(made, partition))
    shop.rows[3]["name"] = "changed"
    left = dataclasses.replace(partition, position=before.position)
    with pytest.raises(PagesChanged) as caught:
        list(loader.batches(made, left, before.next_row))
    assert not caught.value.retryable  # what is staged is of no use: the next run starts over


def expired(asked: Asked) -> Said | None:
    return Said(status=410) if asked.query.get("page_token") in ("t10", "t20") else None


def test_a_token_that_ran_out_is_made_up_for(shop: Shop, tls, loader: Loader):
    """All is read again from the first page on, and passed over as long as it is what was staged."""
    loader.batch_rows = 10
    made = source(shop, tls, "/token", rk.sources.Token())
    (partition,) = loader.plan(made).to_read
    batches = list(itertools.islice(loader.batches(made, partition), 2))
    tokens = iter(range(1, 100))
    known: dict[str, str] = {}

    def answer(asked: Asked) -> Said | None:
        """New tokens for the same pages; the former ones are not known any more."""
        token = asked.query.get("page_token")
        if token is not None and token not in known:
            return Said(status=410)
        start = 0 if token is None else int(known[token])
        fresh = f"x{next(tokens)}"
        known[fresh] = str(start + 10)
        more = {"next_page_token": fresh} if start + 10 < len(shop.rows) else {}
        return Said({"items": shop.rows[start : start + 10], **more})

    shop.first = answer
    left = dataclasses.replace(partition, position=batches[-1].position)
    found = [each["id"] for batch in loader.batches(made, left, 20) for each in documents(batch)]
    assert found == [20, 21, 22, 23, 24]


def test_a_token_that_ran_out_over_other_records_is_told(shop: Shop, tls, loader: Loader):
    """If what is passed over is not what was staged, the run starts over."""
    made = source(shop, tls, "/token", rk.sources.Token())
    (partition,) = loader.plan(made).to_read
    batches = list(itertools.islice(loader.batches(made, partition), 2))
    left = dataclasses.replace(partition, position=batches[-1].position)
    del shop.rows[4]
    shop.first = lambda asked: Said(status=410) if asked.query.get("page_token") == "t20" else None
    with pytest.raises(PagesChanged):
        list(loader.batches(made, left, 20))
    shop.first = lambda asked: Said({"items": []}) if "page_token" not in asked.query else Said(status=410)
    with pytest.raises(PagesChanged):
        list(loader.batches(made, left, 20))


def test_a_token_that_runs_out_in_one_process_is_told(shop: Shop, tls, loader: Loader):
    """In the middle of a load it is a refusal like any other."""
    shop.first = expired
    with pytest.raises(ApiRefused, match="410"):
        loader.load(source(shop, tls, "/token", rk.sources.Token()))


@pytest.mark.parametrize("batch_rows", [3, 4, 10])
def test_increments_go_on_with_what_they_know(batch_rows, shop: Shop, tls, loader: Loader):
    """Duplicates are counted once, and the mark after a load that went on is that of one that did not."""
    loader.batch_rows = batch_rows
    shop.rows = [row(number, minute(number)) for number in range(25)]
    incremental = rk.sources.Incremental("$.at", param="since", lookback=rk_minutes(8))
    made = source(shop, tls, "/since", rk.sources.Token(), incremental=incremental)
    loaded: dict = {}
    loader.load(made, loaded)
    shop.rows += [row(number, minute(number)) for number in range(25, 40)] + [row(77, minute(20))]
    (partition,) = loader.plan(made, loaded).to_read
    whole = list(loader.batches(made, partition))
    for cut in range(1, len(whole) - 1):
        left = dataclasses.replace(partition, position=whole[cut - 1].position)
        rest = list(loader.batches(made, left, whole[cut - 1].next_row))
        parts = [*whole[:cut], *rest]
        assert sorted(each["id"] for batch in parts for each in documents(batch)) == [*range(25, 40), 77]
        assert sum(batch.duplicates for batch in parts) == 9
        assert rest[-1].position["tide"]["mark"] == whole[-1].position["tide"]["mark"]
        after = {**loaded, partition.key: dataclasses.replace(partition, position=rest[-1].position)}
        assert loader.plan(made, after).to_read == ()


def rk_minutes(number: int):
    from datetime import timedelta

    return timedelta(minutes=number)


def children(shop: Shop, tls, **more):
    parent = source(shop, tls, "/orders", rk.sources.Token())
    return source(
        shop,
        tls,
        "/orders/{id}/lines",
        parent=parent,
        bind={"id": "$.id"},
        include={"order": "$.id", "price": "$.price", "none": "$.no.such"},
        **{"records": "$.lines[*]", **more},
    )


def test_each_record_of_a_parent_is_asked_for_its_children(shop: Shop, tls, loader: Loader):
    """Two lines of each of 25 orders, each with what it was given of its order."""
    found = loader.load(children(shop, tls)).records
    assert [each["sku"] for each in found] == [f"{order}-{line}" for order in range(25) for line in range(2)]
    assert found[7] == {"line": 1, "sku": "3-1", "order": 3, "price": 3.5, "none": None}


def test_children_go_on_after_any_batch(shop: Shop, tls, loader: Loader):
    """In the midst of an order's lines, of a page of orders, and between pages."""
    loader.batch_rows = 7
    shop.rows, shop.size = shop.rows[:13], 5
    made = children(shop, tls)
    (partition,) = loader.plan(made).to_read
    for batches in range(1, 5):
        found, _ = gone_on(loader, made, partition, batches)
        assert [each["sku"] for each in found] == [f"{order}-{line}" for order in range(13) for line in range(2)]


def test_another_parent_where_it_stopped_is_told(shop: Shop, tls, loader: Loader):
    """The children of another order are not what comes next."""
    loader.batch_rows = 7
    made = children(shop, tls)
    (partition,) = loader.plan(made).to_read
    before = next(loader.batches(made, partition))
    shop.rows[3]["price"] = 0
    left = dataclasses.replace(partition, position=before.position)
    with pytest.raises(PagesChanged):
        list(loader.batches(made, left, before.next_row))


@pytest.mark.parametrize("value", ["../admin", "a/b", "a?b=c", "a#b", "ä ö"])
def test_a_value_is_one_step_of_the_path(value, shop: Shop, tls, loader: Loader):
    """Whatever a record of the parent holds, it leads to no other place."""
    asked = []
    shop.rows = [{"id": value, "price": 1}]
    shop.first = lambda each: (asked.append(each.path), None if each.path == "/orders" else Said({"lines": []}))[1]
    loader.load(children(shop, tls))
    assert asked[1].count("/") == 3
    assert ".." not in asked[1].split("/")


def test_unchanged_pages_are_not_read_again(shop: Shop, tls, loader: Loader):
    """By their ETag; when one has changed all is read, in the place of what was there."""
    made, loaded = source(shop, tls, "/all"), {}
    loader.load(made, loaded)
    plan = loader.plan(made, loaded)
    assert (len(plan.unchanged), plan.to_read) == (1, ())
    shop.rows.append({"id": 99})
    plan = loader.plan(made, loaded)
    assert ([each.key for each in plan.reload], plan.load) == ([made.name], ())
    assert loader.load(made, loaded).ids == [*range(25), 99]
    assert loader.plan(made, loaded, whole=True).to_read == ()
    assert loader.plan(dataclasses.replace(made, conditional=False), loaded).to_read != ()


def test_without_validators_everything_is_read_again(shop: Shop, tls, loader: Loader):
    """In the place of what was there: nobody can know that it is the same."""
    made, loaded = source(shop, tls, "/token", rk.sources.Token()), {}
    loader.load(made, loaded)
    assert len(loader.plan(made, loaded).reload) == 1
    assert len(loader.plan(made, loaded, whole=True).load) == 1


def test_what_records_are_made_of_is_kept_and_compared(shop: Shop, tls, loader: Loader):
    """Names and kinds, no values; a change is kept with the load that saw it first."""
    made, loaded = source(shop, tls, "/all", conditional=False), {}
    shape = {"$.id": ["integer"], "$.name": ["text"], "$.price": ["number"]}
    assert loader.load(made, loaded).position["shape"] == shape
    for each in shop.rows:
        each |= {"id": str(each["id"]), "size": {"cm": 3}}
    position = loader.load(made, loaded).position
    assert position["shape"]["$.id"] == ["text"]
    assert [(each["field"], each["was"], each["now"]) for each in position["changes"]] == [
        ("$.id", ["integer"], "text"),
        ("$.size", [], "object"),
        ("$.size.cm", [], "integer"),
    ]
    assert "changes" not in loader.load(made, loaded).position
