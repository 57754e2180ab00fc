"""The guard of a process: whoever connects, by whatever library, goes where somebody declared, or nowhere."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.security.egress.processes import said


class Server(ThreadingHTTPServer):
    """On loopback; counts who connects."""

    def __init__(self) -> None:
        self.connections = 0

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "5")
                self.end_headers()
                self.wfile.write(b"hello")

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    def get_request(self):
        self.connections += 1
        return super().get_request()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


WAYS = {
    "urllib": "urllib.request.urlopen('http://127.0.0.1:{port}/').read()",
    "by the name": "urllib.request.urlopen('http://localhost:{port}/').read()",
    "create_connection": "socket.create_connection(('localhost', {port})).getpeername()",
    "connect": "socket.socket().connect(('127.0.0.1', {port}))",
    "connect_ex": "socket.socket().connect_ex(('127.0.0.1', {port}))",
    "IPv6 mapped": "socket.socket(socket.AF_INET6).connect(('::ffff:127.0.0.1', {port}))",
    "the C module": "_socket.socket().connect(('127.0.0.1', {port}))",
    "http.client": "__import__('http.client').client.HTTPConnection('localhost', {port}).request('GET', '/')",
    "httpx": "__import__('httpx').get('http://127.0.0.1:{port}/').text",
    "urllib3": "__import__('urllib3').request('GET', 'http://127.0.0.1:{port}/').data",
    "asyncio": "asyncio.run(asyncio.open_connection('127.0.0.1', {port}))",
}


@pytest.mark.parametrize("way", WAYS)
def test_what_nobody_declared_is_refused(way: str, server: Server):
    """By every library: the error names the place and the declaration to add, and nothing arrives."""
    (line,) = said(f"guarded()\ntold(lambda: {WAYS[way].format(port=server.server_port)})")
    assert line.startswith(f"RK-6050 127.0.0.1:{server.server_port} is not declared")
    assert f'rk.Endpoint("127.0.0.1", {server.server_port})' in line
    assert server.connections == 0


@pytest.mark.parametrize("way", WAYS)
def test_what_is_declared_is_reached(way: str, server: Server):
    """By every library."""
    port = server.server_port
    (line,) = said(f"guarded(Endpoint('localhost', {port}))\ntold(lambda: {WAYS[way].format(port=port)})")
    assert line.startswith("well")
    assert server.connections == 1


def test_another_port_is_another_place(server: Server):
    """A declaration is of one port."""
    port = server.server_port
    other = port + 1 if port < 65_535 else port - 1
    (line,) = said(f"guarded(Endpoint('localhost', {other}))\ntold(lambda: {WAYS['urllib'].format(port=port)})")
    assert line.startswith("RK-6050")
    assert server.connections == 0


def test_sockets_of_this_machine_pass(tmp_path):
    """A Unix socket is no network: the embedded engine and the service manager are spoken to by it."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        listening.bind(str(path))
        listening.listen()
        told.bind(str(tmp_path / "d"))
        lines = said(
            f"guarded()\n"
            f"told(lambda: socket.socket(socket.AF_UNIX).connect({str(path)!r}))\n"
            f"told(lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'x', {str(tmp_path / 'd')!r}))\n"
            f"pair = socket.socketpair()\n"
            f"told(lambda: pair[0].send(b'x'))\n"
            f"told(lambda: asyncio.run(asyncio.sleep(0)))"
        )
    assert [line.split()[0] for line in lines] == ["well"] * 4


def test_names_are_not_asked_for():
    """A question to a name server is a message too: an undeclared name is not looked up, by whatever function."""
    lines = said(
        "guarded(Endpoint('127.0.0.2', 80))\n"
        "for call in (\n"
        "    lambda: socket.getaddrinfo('secret.evil.example', 443),\n"
        "    lambda: _socket.getaddrinfo(b'secret.evil.example', 443),\n"
        "    lambda: socket.gethostbyname('secret.evil.example'),\n"
        "    lambda: socket.gethostbyname_ex('secret.evil.example'),\n"
        "    lambda: socket.gethostbyaddr('secret.evil.example'),\n"
        "    lambda: socket.getnameinfo(('secret.evil.example', 443), 0),\n"
        "    lambda: asyncio.run(asyncio.open_connection('secret.evil.example', 443)),\n"
        "    lambda: urllib.request.urlopen('https://secret.evil.example/'),\n"
        "):\n"
        "    told(call)\n"
    )
    assert len(lines) == 8
    assert all(line.startswith("RK-6050 secret.evil.example") for line in lines), lines


def test_names_of_addresses_are_not_asked_for():
    """That is a question to whoever owns the address: of 128 bits in each, if it is IPv6."""
    lines = said(
        "guarded(Endpoint('198.51.100.0/24', None, private=True))\n"
        "told(lambda: socket.gethostbyaddr('2001:db8::dead:beef'))\n"
        "told(lambda: socket.getnameinfo(('2001:db8::dead:beef', 0), 0))\n"
        "told(lambda: socket.getnameinfo(('198.51.100.7', 0), socket.NI_NUMERICHOST))\n"
        "told(lambda: socket.getnameinfo(('127.0.0.1', 0), 0))\n"
    )
    assert [line.split()[0] for line in lines] == ["RK-6050", "RK-6050", "well", "well"]


def test_names_of_this_machine_are_looked_up():
    """No name server is asked for them; many libraries do so, and only connecting is another matter."""
    lines = said(
        "guarded()\n"
        "told(lambda: socket.getaddrinfo('localhost', 0)[0][0])\n"
        "told(lambda: socket.getaddrinfo(None, 0)[0][0])\n"
        "told(lambda: socket.getaddrinfo('192.0.2.1', 'https')[0][4])\n"
        "told(lambda: socket.gethostbyname('localhost'))\n"
        "told(lambda: socket.getfqdn() and 1)\n"
    )
    assert [line.split()[0] for line in lines] == ["well"] * 5


@pytest.mark.parametrize("disguise", ["0x7f.1", "2130706433", "127.1", "0177.0.0.1", "0", "127.0.0.1 x"])
def test_disguises_are_refused(disguise: str, server: Server):
    """The C library would take each for loopback, which is declared here by its name."""
    port = server.server_port
    (line,) = said(
        f"guarded(Endpoint('localhost', {port}))\ntold(lambda: socket.create_connection(({disguise!r}, {port})))"
    )
    assert line.startswith("RK-605"), line
    assert server.connections == 0


def test_connecting_by_a_name_is_refused(server: Server):
    """A socket that is given a name looks it up unseen: the error says how to do it."""
    port = server.server_port
    lines = said(
        f"guarded(Endpoint('localhost', {port}))\ntold(lambda: socket.socket().connect(('localhost', {port})))"
    )
    assert "by its name" in lines[0]
    assert "create_connection" in lines[0]
    assert server.connections == 0


def test_datagrams_are_asked_about():
    """Sent, sent as a message, or through a socket that is connected: one place for UDP is not one for TCP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.bind(("127.0.0.1", 0))
        port = line.getsockname()[1]
        calls = (
            "def calls():\n"
            f"    place = ('127.0.0.1', {port})\n"
            "    new = lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            "    told(lambda: new().sendto(b'x', place))\n"
            "    told(lambda: new().sendmsg([b'x'], [], 0, place))\n"
            "    told(lambda: new().connect(place))\n"
        )
        for given in ("", f"Endpoint('127.0.0.1', {port})"):
            assert [each.split()[0] for each in said(f"{calls}guarded({given})\ncalls()")] == ["RK-6050"] * 3
        declared = f"Endpoint('127.0.0.1', {port}, 'udp')"
        assert [each.split()[0] for each in said(f"{calls}guarded({declared})\ncalls()")] == ["well"] * 3
        line.settimeout(5)
        assert [line.recv(10) for _ in range(2)] == [b"x", b"x"]


def test_other_families_are_refused():
    """What cannot be declared cannot be reached: a virtual machine's host, for one."""
    lines = said("guarded()\ntold(lambda: socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).connect((2, 80)))")
    assert lines[0].startswith("RK-6050") or lines == ["OSError"]  # OSError: this kernel has no such sockets


def test_threads_are_guarded(server: Server):
    """The guard is of the process."""
    way = WAYS["urllib"].format(port=server.server_port)
    lines = said(
        f"guarded()\nthread = threading.Thread(target=lambda: told(lambda: {way}))\nthread.start()\nthread.join()"
    )
    assert lines[0].startswith("RK-6050")
    assert server.connections == 0


def test_what_is_declared_later_is_reached(server: Server):
    """A pipeline's endpoints come when it is loaded."""
    way = WAYS["by the name"].format(port=server.server_port)
    lines = said(
        f"guarded()\ntold(lambda: {way})\nstanding().declare([Endpoint('localhost', {server.server_port})])\n"
        f"told(lambda: {way})"
    )
    assert [line.split()[0] for line in lines] == ["RK-6050", "well"]


def test_metadata_is_not_reached_by_a_wide_declaration():
    """Whoever lets everything through, private addresses too, has not let credentials out."""
    lines = said(
        "guarded(Endpoint('0.0.0.0/0', None, private=True))\n"
        "told(lambda: socket.create_connection(('169.254.169.254', 80), 1))"
    )
    assert lines[0].startswith("RK-6051 169.254.169.254 is the metadata service")


def test_what_goes_by_a_proxy_is_not_connected_to(server: Server):
    """Where a proxy is set, public hosts are its to reach, and it alone is connected to."""
    port = server.server_port
    lines = said(
        f"guarded(Endpoint('198.51.100.7', 443), proxy=Proxy('socks5h://127.0.0.1:{port}'))\n"
        "told(lambda: socket.create_connection(('198.51.100.7', 443), 1))\n"
        f"told(lambda: socket.create_connection(('127.0.0.1', {port}), 5).close())"
    )
    assert lines[0].startswith("RK-6050 198.51.100.7:443 is declared to be reached by the proxy socks5h://127.0.0.1")
    assert lines[1].startswith("well")


def test_warn_lets_pass(server: Server):
    """Only the log knows."""
    way = WAYS["by the name"].format(port=server.server_port)
    assert said(f"guarded(mode='warn')\ntold(lambda: {way})") == ["well b'hello'"]


def test_the_first_guard_stays(server: Server):
    """Code that puts up one of its own has not put the first away."""
    port = server.server_port
    lines = said(f"guarded()\nguarded(Endpoint('localhost', {port}))\ntold(lambda: {WAYS['urllib'].format(port=port)})")
    assert lines[0].startswith("RK-6050")


@pytest.mark.parametrize("mode", ["warn", "off"])
def test_where_nothing_is_enforced_strange_hosts_are_themselves(mode: str):
    """They are looked up as they are, not as another host; Rowkeeper's own way out refuses them all the same."""
    lines = said(
        f"guarded(mode={mode!r})\n"
        "from rowkeeper.security.egress.gateway import Gateway\n"
        "told(lambda: socket.getaddrinfo('0x7f.1', 80, type=socket.SOCK_STREAM)[0][4][0])\n"
        f"told(lambda: Gateway(Egress((), {mode!r})).connect('0x7f.1', 80))"
    )
    assert lines[0] == "well 127.0.0.1"
    assert lines[1].startswith("RK-6050 nothing is reached by this name")


def test_this_machines_own_name():
    """Declared, it leads to where the machine's own address is; undeclared, it can be looked up and no more."""
    host = socket.gethostname()
    try:
        address = socket.gethostbyname(host)
        with socket.create_server((address, 0)) as listening:
            port = listening.getsockname()[1]
            connect = f"told(lambda: socket.create_connection(({host!r}, {port}), 5).close())"
            network = "Endpoint('127.0.0.0/8', None, private=True)"
            lines = said(f"guarded()\ntold(lambda: socket.getaddrinfo({host!r}, {port})[0][0])\n{connect}")
            assert [line.split()[0] for line in lines] == ["well", "RK-6050"], lines
            lines = said(f"guarded(Endpoint({host!r}, {port}, private=True), {network})\n{connect}")
            assert lines == ["well None"]
    except (socket.gaierror, OSError) as error:
        pytest.skip(f"this machine does not know its own name: {error}")
