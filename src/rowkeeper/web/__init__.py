"""The second door: `rowkeeper serve`, an HTTPS server over the functions that the commands use.

serving.py      start, listen, stop
certificate.py  the server's own certificate: issued, shown, renewed
wire.py         HTTP/1.1 on one connection, and what a connection may not do
front.py        what every request passes first: host, origin, rates, size, time; headers of every answer
governed.py     a route: who asks, what is asked of permissions, in which thread, and what comes out
problems.py     errors as RFC 9457 has them
jobs/           long work, in processes of its own, with progress
api/            the routes, a file for each topic
console/        where the console's files will be
"""
