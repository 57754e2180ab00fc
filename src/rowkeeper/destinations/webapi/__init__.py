"""APIs that take rows by HTTP: batches with idempotency keys, and what was refused of them.

declaring.py  what a person writes
rendering.py  rows as JSON
outcomes.py   what an answer says of the rows that were sent
journal.py    what was sent, and what became of it: a file that survives the process
sending.py    from the staged rows to the last answer
session.py    the run's steps
"""

from rowkeeper.destinations.webapi.declaring import ApiDestination, ItemErrors, ItemResults, api

__all__ = ["ApiDestination", "ItemErrors", "ItemResults", "api"]
