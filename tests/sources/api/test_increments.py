"""Incremental loads: only what is new, what comes late within the lookback, and nothing twice."""

from __future__ import annotations

from datetime import timedelta

import pytest

import rowkeeper as rk
from rowkeeper.errors import CursorWentBack, DeclarationError, SourceChanged
from tests.sources.api.conftest import Loader
from tests.sources.api.shop import Said, Shop
from tests.sources.api.test_paging import source


def row(number: int, at: str, **more: object) -> dict[str, object]:
    return {"id": number, "at": at, **more}


def minute(number: int) -> str:
    return f"2026-01-01T{number // 60:02}:{number % 60:02}:00Z"


def since(**options: object) -> rk.sources.Incremental:
    return rk.sources.Incremental("$.at", param="since", **options)


def declared(shop: Shop, tls: rk.TLS, **options: object) -> rk.sources.ApiSource:
    return source(shop, tls, "/since", rk.sources.Token(), incremental=since(**options))


@pytest.fixture
def minutes(shop: Shop) -> Shop:
    shop.rows = [row(number, minute(number)) for number in range(25)]
    return shop


def test_a_second_load_asks_from_the_mark_on(minutes: Shop, tls, loader: Loader):
    """What stands at the mark comes again, and is a duplicate; what is new is loaded."""
    made, loaded = declared(minutes, tls), {}
    assert loader.load(made, loaded).ids == list(range(25))
    minutes.rows += [row(number, minute(number)) for number in range(24, 30) if number != 24]
    minutes.asked.clear()
    found = loader.load(made, loaded)
    assert (found.ids, found.duplicates) == ([25, 26, 27, 28, 29], 1)
    assert minutes.asked[0].query["since"] == minute(24)
    assert [each.detail["load"] for each in loaded.values()] == [1, 2]


def test_without_news_nothing_is_loaded(minutes: Shop, tls, loader: Loader):
    """The plan finds out by asking; what it was given once is not asked for again when it is read."""
    made, loaded = declared(minutes, tls), {}
    loader.load(made, loaded)
    assert len(minutes.asked) == 4  # a page ahead, by a source that was at work for the plan alone, and three
    assert loader.plan(made, loaded).to_read == ()
    at_work = made.at(loader.site)
    minutes.rows.append(row(99, minute(99)))
    minutes.asked.clear()
    (partition,) = at_work.plan(loaded, whole=False).to_read
    options = {"start_row": 0, "batch_rows": 10, "columns": None}
    assert sum(batch.table.num_rows for batch in at_work.read(partition, **options)) == 1
    assert len(minutes.asked) == 1


def test_what_comes_late_within_the_lookback_is_loaded(minutes: Shop, tls, loader: Loader):
    """A record of three minutes before the mark, five minutes being looked back; the five others are duplicates."""
    made, loaded = declared(minutes, tls, lookback=timedelta(minutes=5)), {}
    loader.load(made, loaded)
    minutes.rows.append(row(100, minute(21)))
    minutes.asked.clear()
    found = loader.load(made, loaded)
    assert (found.ids, found.duplicates) == ([100], 6)
    assert minutes.asked[0].query["since"] == minute(19)
    assert loader.load(made, loaded).ids == []


def test_a_record_that_changed_within_the_lookback_is_loaded_anew(minutes: Shop, tls, loader: Loader):
    """Which of the two stays is the destination's to say, by its key."""
    made, loaded = declared(minutes, tls, lookback=timedelta(minutes=5)), {}
    loader.load(made, loaded)
    minutes.rows[22]["name"] = "changed"
    found = loader.load(made, loaded)
    assert (found.records, found.duplicates) == ([row(22, minute(22), name="changed")], 5)


def test_another_order_of_members_is_no_change(minutes: Shop, tls, loader: Loader):
    """Records are known by their members, whichever comes first."""
    made, loaded = declared(minutes, tls), {}
    loader.load(made, loaded)
    minutes.rows[24] = dict(reversed(minutes.rows[24].items()))
    assert loader.plan(made, loaded).to_read == ()


def test_records_that_are_alike_are_counted(minutes: Shop, tls, loader: Loader):
    """Two readings of the same value at the same time are two rows; a third one that comes later is one more."""
    minutes.rows = [row(1, minute(1)), row(1, minute(1))]
    made, loaded = declared(minutes, tls), {}
    assert loader.load(made, loaded).ids == [1, 1]
    minutes.rows.append(row(1, minute(1)))
    found = loader.load(made, loaded)
    assert (found.ids, found.duplicates) == ([1], 2)
    assert loader.plan(made, loaded).to_read == ()


def test_the_digests_of_the_past_are_let_go(minutes: Shop, tls, loader: Loader):
    """Kept are those at or after the mark less the lookback, and no others."""
    made, loaded = declared(minutes, tls, lookback=timedelta(minutes=3)), {}
    assert len(loader.load(made, loaded).position["tide"]["seen"]) == 4
    minutes.rows.append(row(99, minute(99)))
    assert len(loader.load(made, loaded).position["tide"]["seen"]) == 1


@pytest.mark.parametrize(
    ("values", "lookback", "asked"),
    [
        ([10, 20, 30], 5, "25"),
        ([1767225600, 1767225660], timedelta(seconds=60), "1767225600"),
        (["2026-01-01", "2026-01-09"], timedelta(days=2), "2026-01-07"),
        (["2026-01-01T10:00:00+01:00", "2026-01-01T09:30:00+00:00"], timedelta(0), "2026-01-01T09:30:00+00:00"),
        (["2026-01-01 10:00:00", "2026-01-01 11:00:00"], timedelta(hours=1), "2026-01-01T10:00:00"),
        (["a", "c", "b"], None, "c"),
    ],
    ids=["numbers", "seconds since 1970", "days", "zones", "without a zone", "texts"],
)
def test_kinds_of_marks(values, lookback, asked, shop: Shop, tls, loader: Loader):
    """Numbers by their value, times by their moment, other texts by their letters."""
    shop.first = lambda _: Said({"items": [row(number, value) for number, value in enumerate(values)]})
    made, loaded = source(shop, tls, "/x", incremental=since(lookback=lookback)), {}
    loader.load(made, loaded)
    shop.first = lambda asked: Said({"items": []})
    loader.plan(made, loaded)
    assert shop.asked[-1].query["since"] == asked


def test_the_first_load_asks_from_the_start(minutes: Shop, tls, loader: Loader):
    """And a time is written as the API wants it."""
    loader.load(declared(minutes, tls, start=minute(20)))
    assert minutes.asked[0].query["since"] == minute(20)
    made, loaded = declared(minutes, tls, format="%d.%m.%Y", lookback=timedelta(days=2)), {}
    loader.load(made, loaded)
    minutes.first = lambda asked: Said({"items": []})
    loader.plan(made, loaded)
    assert minutes.asked[-1].query["since"] == "30.12.2025"


def test_records_from_before_what_was_asked_for_are_told(minutes: Shop, tls, loader: Loader):
    """An API that does not know the parameter, or whose clock went back, would bring everything again."""
    made, loaded = declared(minutes, tls), {}
    loader.load(made, loaded)
    minutes.first = lambda _: Said({"items": [row(3, minute(3))]})
    with pytest.raises(CursorWentBack, match="from before what it was asked for"):
        loader.load(made, loaded)


@pytest.mark.parametrize("order", ["ascending", "descending"])
def test_an_order_that_is_not_kept_is_told(order, minutes: Shop, tls, loader: Loader):
    """Where one was declared."""
    numbers = (1, 2, 3) if order == "ascending" else (3, 2, 1)
    minutes.first = lambda _: Said({"items": [row(each, minute(each)) for each in numbers]})
    assert loader.load(declared(minutes, tls, order=order)).ids == list(numbers)
    minutes.first = lambda _: Said({"items": [row(each, minute(each)) for each in (1, 3, 2)]})
    with pytest.raises(CursorWentBack, match=f"in {order} order"):
        loader.load(declared(minutes, tls, order=order))


def test_a_record_without_the_field_goes_to_quarantine(minutes: Shop, tls, loader: Loader):
    """Null, absent, or of another kind: nobody could tell next time whether it was loaded."""
    minutes.rows = []
    found = [row(1, minute(1)), {"id": 2}, row(3, None), row(4, 17), row(5, minute(5))]
    minutes.first = lambda _: Said({"items": found})
    made = declared(minutes, tls)
    (partition,) = loader.plan(made).to_read
    batch, *_ = loader.batches(made, partition)
    assert [(each.row, each.type) for each in batch.malformed] == [(each, "api_cursor_missing") for each in (1, 2, 3)]
    assert batch.table.num_rows == 2


def test_a_run_that_replaces_the_table_reads_everything(minutes: Shop, tls, loader: Loader):
    """If anything is new; the mark is of no matter then."""
    made, loaded = declared(minutes, tls), {}
    loader.load(made, loaded)
    assert loader.plan(made, loaded, whole=True).to_read == ()
    minutes.rows.append(row(99, minute(99)))
    (partition,) = loader.plan(made, loaded, whole=True).to_read
    assert sum(batch.table.num_rows for batch in loader.batches(made, partition)) == 26


def test_a_load_that_was_taken_back_is_loaded_again(minutes: Shop, tls, loader: Loader):
    """The last one; one in the midst of others is told, as those after it do not follow any more."""
    made, loaded = declared(minutes, tls), {}
    for number in (30, 40, 50):
        loader.load(made, loaded)
        minutes.rows.append(row(number, minute(number)))
    first, second, third = loaded
    assert loader.load(made, {first: loaded[first], second: loaded[second]}).ids == [40, 50]
    for left in ((first, third), (second, third)):
        with pytest.raises(SourceChanged, match="was rolled back"):
            loader.plan(made, {each: loaded[each] for each in left})


def test_a_lookback_that_does_not_fit_is_told(shop: Shop, tls, loader: Loader):
    """A number of minutes is no time, and a text has no distance."""
    with pytest.raises(DeclarationError):
        since(lookback=timedelta(-1))
    shop.first = lambda _: Said({"items": [row(1, minute(1))]})
    with pytest.raises(DeclarationError, match="does not fit"):
        loader.load(source(shop, tls, "/x", incremental=since(lookback=5)))


def test_the_mark_is_sent_in_a_body_where_it_belongs(shop: Shop, tls, loader: Loader):
    """A search by POST is given it as a member."""
    shop.first = lambda asked: Said({"items": [row(7, 7)] if asked.json.get("since") is None else []})
    incremental = since(sent="body")
    made, loaded = source(shop, tls, "/search", body={"sort": "at"}, incremental=incremental), {}
    loader.load(made, loaded)
    loader.plan(made, loaded)
    assert shop.asked[-1].json == {"since": 7, "sort": "at"}
