"""APIs as a source: JSON over HTTP, page by page; and generators of the user's own.

declaring.py   `api()` and `python()`: what a person writes, checked
source.py      ApiSource: the plan
generating.py  PythonSource: what a generator yields
reading.py     one load, from its first page to its last batch, gone on with where it stopped
walking.py     from page to page, and from a parent's record to its children
paging.py      how one page leads to the next
binding.py     what a parent's record gives to its children
increments.py  what is new since the last load
shapes.py      what records are made of, and when that changes
answers.py     whether an answer is one
selecting.py   JSONPath, with numbers exact
asking.py      one request and its answer
requests.py    what is asked, as a value
"""

from rowkeeper.sources.api.declaring import api, python
from rowkeeper.sources.api.generating import Api, PythonSource, Records
from rowkeeper.sources.api.increments import Incremental
from rowkeeper.sources.api.paging import Cursor, LinkHeader, NextLink, Offset, PageNumber, Token
from rowkeeper.sources.api.source import ApiSource

__all__ = [
    "Api",
    "ApiSource",
    "Cursor",
    "Incremental",
    "LinkHeader",
    "NextLink",
    "Offset",
    "PageNumber",
    "PythonSource",
    "Records",
    "Token",
    "api",
    "python",
]
