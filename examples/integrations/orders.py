"""Orders by day: the file of a day is loaded by the run whose slot begins with it, whoever starts that run."""

from typing import Annotated

from pydantic import BaseModel, Field

import rowkeeper as rk


class Order(BaseModel):
    id: int
    amount: Annotated[float, Field(gt=0)]


day = rk.slot().since

orders = rk.Pipeline(
    "orders",
    source=rk.sources.files(f"orders/{day:%Y-%m-%d}.csv"),
    contract=Order,
    destination=rk.destinations.clickhouse("orders", order_by=["id"]),
)
