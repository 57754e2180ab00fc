"""ClickHouse's own error codes (src/Common/ErrorCodes.cpp), as clickhouse-connect hands them on."""

from __future__ import annotations

import re

from rowkeeper.resilience.outcomes import Judgement, Outcome
from rowkeeper.resilience.rules.lineage import lineage, number

ERRORS = {"clickhouse_connect.driver.exceptions.ClickHouseError"}
CODE = re.compile(r"\bCode:\s*(\d+)")
MEMORY_LIMIT_EXCEEDED = 241
CODES = {
    # Refused, because there is too much to do.
    202: Outcome.THROTTLED,  # TOO_MANY_SIMULTANEOUS_QUERIES
    203: Outcome.THROTTLED,  # NO_FREE_CONNECTION
    252: Outcome.THROTTLED,  # TOO_MANY_PARTS
    439: Outcome.THROTTLED,  # CANNOT_SCHEDULE_TASK
    745: Outcome.THROTTLED,  # SERVER_OVERLOADED
    # Not done, and may work in a moment.
    198: Outcome.TRANSIENT,  # DNS_ERROR
    242: Outcome.TRANSIENT,  # TABLE_IS_READ_ONLY: its Keeper session is being renewed
    279: Outcome.TRANSIENT,  # ALL_CONNECTION_TRIES_FAILED
    285: Outcome.TRANSIENT,  # TOO_FEW_LIVE_REPLICAS
    473: Outcome.TRANSIENT,  # DEADLOCK_AVOIDED
    # Broken off: blocks of an insert may have been written.
    159: Outcome.AMBIGUOUS,  # TIMEOUT_EXCEEDED
    209: Outcome.AMBIGUOUS,  # SOCKET_TIMEOUT
    210: Outcome.AMBIGUOUS,  # NETWORK_ERROR
    236: Outcome.AMBIGUOUS,  # ABORTED
    319: Outcome.AMBIGUOUS,  # UNKNOWN_STATUS_OF_INSERT
    394: Outcome.AMBIGUOUS,  # QUERY_WAS_CANCELLED
    999: Outcome.AMBIGUOUS,  # KEEPER_EXCEPTION
}


def judge(error: BaseException) -> Judgement | None:
    """By code; without one by the error's cause, which is the network's."""
    if not lineage(error) & ERRORS:
        return None
    said = str(error)
    in_words = CODE.search(said)
    code = number(error, "code") or (int(in_words[1]) if in_words else None)
    if code is None:
        return None
    if code == MEMORY_LIMIT_EXCEEDED:
        # The server's limit is reached by all queries together, a query's own by itself, again and again.
        return Judgement(Outcome.THROTTLED if "(total)" in said else Outcome.PERMANENT)
    return Judgement(CODES.get(code, Outcome.PERMANENT))
