"""A name server that lies: first an address that may be reached, then, with a time to live of 0, one that may not.

Nothing is replaced: the real resolver of the C library asks a real name server, in a network and mount namespace whose
/etc/resolv.conf leads to it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx", reason="httpx is not installed: pip install 'rowkeeper[http]'")
pytest.importorskip("dnslib", reason="dnslib is not installed")

ROOT = Path(__file__).parents[3]
UNSHARE = ["unshare", "--net", "--mount"] + ([] if os.geteuid() == 0 else ["--user", "--map-root-user"])
REBINDING = "93.184.216.34,127.0.0.1"
CLIENT = """
from rowkeeper.endpoints import Endpoint
from rowkeeper.errors import FrameworkError
from rowkeeper.security.egress.gateway import Gateway
from rowkeeper.security.egress.guard import Guard, stand
from rowkeeper.security.egress.http import http_client
from rowkeeper.security.egress.policy import Egress
URL = "http://rebind.example:8080/"
egress = Egress((Endpoint("rebind.example", 8080),))
gateway = Gateway(egress)
def client_of(gateway):
    return http_client(gateway, name="the API", plaintext=True)
def told(call):
    try:
        print(call())
    except FrameworkError as error:
        print(type(error).__name__)
"""


def _cannot() -> str:
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return "unshare or ip is not installed"
    tried = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else f"no namespaces may be made here: {tried.stderr.strip()}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], dict[str, Any]]:
    if why := _cannot():
        pytest.skip(why)

    def run(answers: str, code: str) -> dict[str, Any]:
        file = tmp_path_factory.mktemp("client") / "client.py"
        file.write_text(code)
        words = [*UNSHARE, sys.executable, "-m", "tests.security.egress.rebinding", answers, str(file)]
        ran = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    return run


def test_who_checks_and_then_connects_is_fooled(place):
    """The control: the address that is checked is not the one that is connected to, and the secret is read."""
    found = place(
        REBINDING,
        """
import ipaddress, socket, urllib.request
address = socket.getaddrinfo("rebind.example", 8080, type=socket.SOCK_STREAM)[0][4][0]
assert ipaddress.ip_address(address).is_global
print(urllib.request.urlopen("http://rebind.example:8080/").read().decode())
""",
    )
    assert (found["said"], found["asked"], found["secret"]) == (["secret"], 2, 1), found


def test_the_client_connects_to_what_it_checked(place):
    """One question, and the connection goes to its answer; the other answer is never asked for."""
    found = place(
        REBINDING,
        CLIENT
        + """
with client_of(gateway) as client, client.stream("GET", URL) as answer:
    print(answer.extensions["network_stream"].get_extra_info("server_addr")[0])
    print(answer.read().decode())
    print(answer.request.headers["host"])
""",
    )
    assert found["said"] == ["93.184.216.34", "public", "rebind.example:8080"], found
    assert (found["asked"], found["public"], found["secret"]) == (1, 1, 0)


def test_the_next_connection_is_checked_anew(place):
    """A second connection asks again, gets the other answer, and is not made."""
    found = place(
        REBINDING,
        CLIENT
        + """
for _ in range(2):
    with client_of(gateway) as client:
        told(lambda: client.get(URL).text)
""",
    )
    assert found["said"] == ["public", "AddressForbidden"], found
    assert (found["asked"], found["public"], found["secret"]) == (2, 1, 0)


@pytest.mark.parametrize("answers", ["93.184.216.34+127.0.0.1", "127.0.0.1+93.184.216.34", "169.254.169.254"])
def test_one_forbidden_address_refuses_the_name(place, answers: str):
    """In whatever order they come: nothing at all is connected to."""
    found = place(answers, CLIENT + "told(lambda: client_of(gateway).get(URL).text)")
    assert (found["said"], found["public"], found["secret"]) == (["AddressForbidden"], 0, 0), found


def test_drivers_are_given_what_was_checked(place):
    """The address for a driver's own connection comes of one question as well."""
    found = place(REBINDING, CLIENT + "told(lambda: gateway.checked_addresses('rebind.example', 8080))")
    assert (found["said"], found["asked"]) == (["('93.184.216.34',)"], 1), found


def test_code_of_the_user_is_given_what_was_checked(place):
    """urllib in a guarded process: the first look-up is what it connects to, the second is refused."""
    found = place(
        REBINDING,
        CLIENT
        + """
import urllib.request
stand(Guard(egress))
for _ in range(2):
    told(lambda: urllib.request.urlopen(URL).read().decode())
""",
    )
    assert found["said"] == ["public", "AddressForbidden"], found
    assert (found["asked"], found["secret"]) == (2, 0)


def test_code_that_goes_around_the_module_is_refused(place):
    """Who asks `_socket` itself gets its own answer, but connects to nothing that the guard has not seen."""
    found = place(
        REBINDING,
        CLIENT
        + """
import _socket, socket
stand(Guard(egress))
place = _socket.getaddrinfo("rebind.example", 8080, 0, socket.SOCK_STREAM)[0][4]
print(place[0])
told(lambda: socket.socket().connect(place))
""",
    )
    assert found["said"] == ["127.0.0.1", "EgressRefused"], found
    assert found["secret"] == 0
