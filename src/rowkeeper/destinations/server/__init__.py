"""A ClickHouse server: clickhouse-connect over HTTP(S), by the one way out; its replicas, and what errors of it mean.

place.py        Server: what is declared of one, in a pipeline or by settings; which one is meant where nothing is said
client.py       a client for one replica: connections by the way out, TLS, who we are
errors.py       what is said of it, in our words; what may be said again
connection.py   statements, replicas that go away, and how a table is laid out there
reading.py      typed SQL
"""
