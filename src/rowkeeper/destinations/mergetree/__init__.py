"""ClickHouse tables: rows are staged in a table of their own and published by one EXCHANGE.

Nothing here knows where the engine runs: what it says to it is SQL over HTTP, but for one short cut for bulk data.
"""
