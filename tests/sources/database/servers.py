"""Servers for these tests: PostgreSQL from a wheel, behind a front that speaks TLS; MariaDB where there is one."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import psycopg

from rowkeeper.testing.sources import Row
from tests.ledger.postgres import Fronted

READER, PASSWORD = "reader", "open sesame"
CERTIFIED = "certified"  # at MySQL: let in by a client certificate alone
START_SECONDS_MAX = 60.0
MYSQLD = "ROWKEEPER_TEST_MYSQLD"
WHY_NO_MYSQL = (
    "no MySQL or MariaDB server on this machine (mariadbd or mysqld in PATH, or its path in ROWKEEPER_TEST_MYSQLD): "
    "none comes as a wheel"
)


class Postgres:
    """A server, its owner's connection, and a user who may only read, with a password."""

    def __init__(self, folder: Path) -> None:
        self.front = Fronted(folder, "127.0.0.1")
        self.port = self.front.port
        self.owner = psycopg.connect(
            f"host={self.front.sockets} user=postgres dbname=postgres", autocommit=True, prepare_threshold=None
        )
        self.owner.execute(f"CREATE ROLE {READER} LOGIN PASSWORD '{PASSWORD}'")
        self.owner.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO reader")
        hba = Path(self.owner.execute("SHOW hba_file").fetchone()[0])
        hba.write_text(f"local all {READER} scram-sha-256\n" + hba.read_text())
        self.owner.execute("SELECT pg_reload_conf()")

    @property
    def socket_url(self) -> str:
        return f"postgresql+psycopg://postgres@/postgres?host={self.front.sockets}"

    def close(self) -> None:
        self.owner.close()
        self.front.close()


def columns_of(rows: list[Row]) -> dict[str, str]:
    """Columns that hold these rows, with their types."""
    kinds = {"id": "bigint PRIMARY KEY", "name": "text", "amount": "numeric(30, 6)"}
    if any(not _is_number(row.get("amount")) for row in rows):
        kinds["amount"] = "text"
    return kinds | {name: "text" for row in rows for name in row if name not in kinds}


def _is_number(text: str | None) -> bool:
    return text is None or text.lstrip("-").replace(".", "", 1).isdigit()


def mysqld() -> Path | None:
    found = os.environ.get(MYSQLD) or shutil.which("mariadbd") or shutil.which("mysqld")
    return Path(found) if found and Path(found).exists() else None


class MySQL:
    """MariaDB, with its data in a folder of its own, and a user who may only read.

    Args:
        options: of the server, beside the usual ones.
    """

    def __init__(self, folder: Path, server: Path, *options: str) -> None:
        import pymysql

        base = server.parent.parent
        self.data, self.socket = folder / "data", folder / "s"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        common = [
            "--no-defaults", f"--basedir={base}", f"--datadir={self.data}", f"--lc-messages-dir={base}/share/mysql",
            f"--character-sets-dir={base}/share/mysql/charsets", "--user=root" if os.geteuid() == 0 else "--console",
        ]  # fmt: skip
        self.data.mkdir()
        share = base / "share" / "mysql"
        script = "CREATE DATABASE IF NOT EXISTS mysql;\nUSE mysql;\n" + "".join(
            (share / name).read_text()
            for name in ("mysql_system_tables.sql", "mysql_performance_tables.sql", "mysql_system_tables_data.sql")
        )
        subprocess.run(
            [server, *common, "--bootstrap", "--log-warnings=0"], input=script.encode(), check=True, cwd="/",
            stdout=subprocess.DEVNULL, stderr=(folder / "bootstrap.log").open("wb"),
        )  # fmt: skip
        self._log = (folder / "log").open("wb")
        self.process = subprocess.Popen(
            [server, *common, *options, f"--socket={self.socket}", f"--port={self.port}", "--bind-address=127.0.0.1",
             f"--pid-file={folder}/pid", "--init-file=" + str(self._grants(folder))],
            stdout=self._log, stderr=self._log, cwd="/",
        )  # fmt: skip
        until = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                self.owner = pymysql.connect(
                    unix_socket=str(self.socket), user="owner", password="owner", database="shop", autocommit=True
                )
                break
            except pymysql.OperationalError:
                assert self.process.poll() is None, (folder / "log").read_text()[-2000:]
                assert time.monotonic() < until
                time.sleep(0.05)  # until it listens

    @staticmethod
    def _grants(folder: Path) -> Path:
        path = folder / "grants.sql"
        path.write_text(
            "CREATE DATABASE shop CHARACTER SET utf8mb4;\n"
            "CREATE USER 'owner'@'localhost' IDENTIFIED BY 'owner';\n"
            "GRANT ALL ON *.* TO 'owner'@'localhost';\n"
            f"CREATE USER '{READER}'@'%' IDENTIFIED BY '{PASSWORD}';\n"
            f"GRANT SELECT ON shop.* TO '{READER}'@'%';\n"
            f"CREATE USER '{CERTIFIED}'@'%' REQUIRE X509;\n"
            f"GRANT SELECT ON shop.* TO '{CERTIFIED}'@'%';\n"
        )
        return path

    def do(self, sql: str, *values: object) -> None:
        with self.owner.cursor() as cursor:
            cursor.execute(sql, values or None)

    def close(self) -> None:
        self.owner.close()
        self.process.terminate()
        self.process.wait(30)
        self._log.close()
