"""Where rows come from: each source in a room of its own."""

from rowkeeper.brokers import Nkey, Sasl
from rowkeeper.resilience.rates import RateLimit
from rowkeeper.security.httpauth import Basic, Bearer, HeaderKey, OAuth2, Outgoing, Signed
from rowkeeper.sources.api import (
    Api,
    ApiSource,
    Cursor,
    Incremental,
    LinkHeader,
    NextLink,
    Offset,
    PageNumber,
    PythonSource,
    Records,
    Token,
    api,
    python,
)
from rowkeeper.sources.database import DatabaseSource, Increment, database
from rowkeeper.sources.file import FilesSource, Sample, files, sample
from rowkeeper.sources.stream import Decoder, Message, StreamSource, stream

__all__ = [
    "Api",
    "ApiSource",
    "Basic",
    "Bearer",
    "Cursor",
    "DatabaseSource",
    "Decoder",
    "FilesSource",
    "HeaderKey",
    "Increment",
    "Incremental",
    "LinkHeader",
    "Message",
    "NextLink",
    "Nkey",
    "OAuth2",
    "Offset",
    "Outgoing",
    "PageNumber",
    "PythonSource",
    "RateLimit",
    "Records",
    "Sample",
    "Sasl",
    "Signed",
    "StreamSource",
    "Token",
    "api",
    "database",
    "files",
    "python",
    "sample",
    "stream",
]
