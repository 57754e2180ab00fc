"""The static checks of `make lint` fire: each is shown what it must find."""

from __future__ import annotations

import http.server
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tools import audit, forbidden

ROOT = Path(__file__).parents[2]

PLANTED = [
    "import pickle",
    "import pickle as p",
    "from pickle import loads",
    "import _pickle",
    "import marshal",
    "def f():\n    import shelve",
    "from dill import load",
    "import joblib.numpy_pickle",
    "eval('1')",
    "exec('x = 1')",
    "run = eval",
    "map(exec, [])",
    "import builtins\nbuiltins.eval('1')",
    "from builtins import exec as run\nrun('1')",
    "import os\nos.system('ls')",
    "import os as o\no.popen('ls')",
    "from os import system as s\ns('ls')",
    "import subprocess\nsubprocess.run('ls', shell=True)",
    "import subprocess\nsubprocess.run('ls', shell=1)",
    "from subprocess import Popen as P\nP('ls', shell=not False)",
    "import subprocess\nsubprocess.getoutput('ls')",
    "from asyncio import create_subprocess_shell\ncreate_subprocess_shell('ls')",
    "import numpy as np\nnp.load('a', allow_pickle=True)",
    "import pickle  # noqa: S403",
    "exec('')  # nosec",
]


@pytest.mark.parametrize("source", PLANTED)
def test_what_is_forbidden_is_found(source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Wherever it is in a file, under whatever name, and whatever a comment says."""
    (tmp_path / "src" / "deep").mkdir(parents=True)
    (tmp_path / "src" / "deep" / "planted.py").write_text(f"x = 1\n{source}\n")
    assert forbidden.main(tmp_path) == 1
    assert "src/deep/planted.py:" in capsys.readouterr().out


@pytest.mark.parametrize(
    "source",
    [
        "import subprocess\nsubprocess.run(['ls'], shell=False)",
        "frame.eval('a')",
        "from .pickle import jar",
        "def evaluate(text): return text",
        "import ast\nast.literal_eval('1')",
        "connection.exec_driver_sql('SELECT 1')",
    ],
)
def test_what_only_looks_alike_passes(source: str, tmp_path: Path):
    """Methods of these names, and argument lists."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "fine.py").write_text(source)
    assert forbidden.main(tmp_path) == 0


def test_an_excuse_that_nothing_needs_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The list of exceptions shrinks with what it excuses."""
    (tmp_path / "src").mkdir()
    file = tmp_path / "src" / "loader.py"
    monkeypatch.setattr(forbidden, "MAY", {("src/loader.py", "exec"): "loads"})
    file.write_text("exec('')")
    assert forbidden.main(tmp_path) == 0
    file.write_text("")
    assert forbidden.main(tmp_path) == 1


def test_rowkeeper_has_none():
    """Neither it nor its tools, benches and examples."""
    assert forbidden.main() == 0


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        ("B602", "import subprocess\nsubprocess.run('ls', shell=True)"),
        ("B506", "import yaml\nyaml.load('a')"),
        ("B501", "import requests\nrequests.get('https://a', verify=False, timeout=1)"),
        ("B324", "import hashlib\nhashlib.md5(b'')"),
        ("B306", "import tempfile\ntempfile.mktemp()"),
        ("B323", "import ssl\nssl._create_unverified_context()"),
        ("B103", "import os\nos.chmod('a', 0o777)"),
    ],
)
def test_bandit_fires_with_our_configuration(rule: str, source: str, tmp_path: Path):
    """What it skips does not reach further than meant."""
    (tmp_path / "planted.py").write_text(source)
    words = ["--quiet", "--recursive", "--configfile", str(ROOT / "pyproject.toml"), "--format", "json", str(tmp_path)]
    done = subprocess.run([sys.executable, "-m", "bandit", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert rule in {each["test_id"] for each in json.loads(done.stdout)["results"]}


def test_lint_runs_them():
    """A check that nobody calls finds nothing."""
    lint = (ROOT / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0]
    for each in ("ruff check", "mypy", "lint-imports", "bandit", "tools.forbidden", "tools.audit"):
        assert each in lint


# ----------------------------------------------------------------------------------------- the dependency audit


@contextmanager
def database(answer: bytes | int | None) -> Iterator[str]:
    """An OSV that always gives the same answer, or this status, or (None) none before it is closed."""
    closed = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            if answer is None:
                closed.wait(60)
                return
            self.send_response(answer if isinstance(answer, int) else 200)
            body = b"" if isinstance(answer, int) else answer
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/query"
        finally:
            closed.set()
            server.shutdown()
            thread.join()


WEAKNESS = {
    "vulns": [
        {
            "id": "PYSEC-2026-1",
            "modified": "2026-01-01T00:00:00Z",
            "published": "2026-01-01T00:00:00Z",
            "summary": "a weakness",
            "affected": [
                {
                    "package": {"name": "nothing", "ecosystem": "PyPI"},
                    "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.2.4"}]}],
                    "versions": ["1.2.3"],
                }
            ],
        }
    ]
}


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "dev.lock"
    path.write_text("nothing==1.2.3\n")
    return path


def test_a_known_weakness_fails(lock: Path, capsys: pytest.CaptureFixture[str]):
    """By its identifier, with the version in which it is mended."""
    with database(json.dumps(WEAKNESS).encode()) as url:
        assert audit.main(lock, url) == 1
    assert "nothing 1.2.3: PYSEC-2026-1, mended in 1.2.4" in capsys.readouterr().out


def test_no_known_weakness_passes(lock: Path, capsys: pytest.CaptureFixture[str]):
    """In silence."""
    with database(b"{}") as url:
        assert audit.main(lock, url) == 0
    assert capsys.readouterr().out == ""


def test_what_cannot_be_reached_is_skipped_with_a_notice(lock: Path, capsys: pytest.CaptureFixture[str]):
    """Nobody listens there; and the notice says so."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert audit.main(lock, f"http://127.0.0.1:{port}/v1/query") == 0
    assert "dependency audit skipped" in capsys.readouterr().out


@pytest.mark.parametrize("answer", [500, b"no JSON"])
def test_a_database_that_fails_is_skipped_with_a_notice(
    answer: bytes | int, lock: Path, capsys: pytest.CaptureFixture[str]
):
    """Nothing is known then, and nobody is kept from working."""
    with database(answer) as url:
        assert audit.main(lock, url) == 0
    assert "dependency audit skipped" in capsys.readouterr().out


def test_a_silent_database_is_not_waited_for(lock: Path, capsys: pytest.CaptureFixture[str]):
    """It takes the request and does not answer."""
    began = time.monotonic()
    with database(None) as url:
        assert audit.main(lock, url, seconds_max=4.0) == 0
        assert time.monotonic() - began < 8
    assert "did not answer in 4 s" in capsys.readouterr().out
