"""The embedded ClickHouse: chDB in a host process of its own, spoken to in ClickHouse's own HTTP interface.

Only one process may open a chDB path, yet a run, a query and a verify must work side by side; and an engine that
crashes must not take the command with it. So a small host owns the path, is started by whoever needs it first, and goes
away when idle. Any ClickHouse client that can speak HTTP over a Unix socket can use it, read only.
"""
