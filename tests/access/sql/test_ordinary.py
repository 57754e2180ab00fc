"""Where all columns are clear, governed SQL is SQL: the same answer, by the same names."""

from __future__ import annotations

import pytest

from tests.access.sql.ordinary import ORDINARY
from tests.access.sql.world import World


def test_there_are_enough_of_them():
    """The claim is made of at least forty ordinary queries."""
    assert len(set(ORDINARY)) >= 70


@pytest.mark.parametrize("sql", ORDINARY)
def test_the_answer_is_the_owners(world: World, sql: str):
    """An analyst's answer has the columns, types and rows that the owner's has, who is not governed."""
    governed, own = world.ask(sql), world.own(sql)
    assert governed.rows == own.rows
    assert governed.columns == own.columns
    assert governed.rows, "a query that finds nothing proves nothing"
