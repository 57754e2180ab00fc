"""Guarded processes: the guard of a process cannot be taken away again, so each test has a process of its own."""

from __future__ import annotations

import subprocess
import sys

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
    """What a program prints that has the names above."""
    ran = subprocess.run(
        [sys.executable, "-c", PRELUDE + code], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()
