"""Guarded processes: the guard of a process cannot be taken away again, so each test has a process of its own."""

from __future__ import annotations

import os
import sys
import tempfile

from tests.arena import FORKSERVER

PRELUDE = """
import asyncio, errno, socket, sys, threading, urllib.request
import _socket
from rowkeeper.endpoints import Endpoint, Proxy
from rowkeeper.errors import EgressRefused, FrameworkError
from rowkeeper.security.egress.guard import Guard, stand, standing
from rowkeeper.security.egress.policy import Egress

def told(call):
    try:
        found = call()
    except FrameworkError as error:
        print(error.code, error.what, "|", error.hint)
    except OSError as error:
        print(type(error).__name__)
    else:
        print("well", found)

def guarded(*endpoints, mode="enforce", proxy=None):
    stand(Guard(Egress(endpoints, mode), proxy))
"""


def said(code: str) -> list[str]:
    """What a program prints that has the names above. It is forked: most of it would be the time to start Python."""
    with tempfile.NamedTemporaryFile("r") as told:
        process = FORKSERVER.Process(target=_run, args=(dict(os.environ), PRELUDE + code, told.name))
        process.start()
        process.join(60)
        if process.exitcode is None:
            process.kill()
        assert process.exitcode == 0, told.read()
        return told.read().splitlines()


def _run(environment: dict[str, str], code: str, path: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    file = os.open(path, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(file, descriptor)
    sys.stdout, sys.stderr = (os.fdopen(descriptor, "w", buffering=1, closefd=False) for descriptor in (1, 2))
    exec(code, {"__name__": "__main__"})
