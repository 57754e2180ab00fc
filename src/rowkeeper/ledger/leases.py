"""Leases with fencing tokens: who may change a destination, and how those who may no longer are kept out."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import psutil
from sqlalchemy import Connection, Engine, Row, insert, select, update

from rowkeeper.errors import LeaseError, LeaseHeld, LeaseLost
from rowkeeper.ledger.database import reading, writing
from rowkeeper.ledger.records import HeldLease, Lease
from rowkeeper.ledger.schema import leases

BACKUPS = "backups"  # of whoever makes a backup, or takes one away; no destination has this name
Clock = Callable[[], datetime]


def host_name() -> str:
    """`name:boot:machine`: this machine since it was started, as after a reboot the same pid is another process.

    The machine's own id is what tells a reboot from another machine of the same name; empty where it has none.
    """
    boot_id, machine_id = Path("/proc/sys/kernel/random/boot_id"), Path("/etc/machine-id")
    boot = boot_id.read_text().strip()[:8] if boot_id.exists() else f"{psutil.boot_time():.0f}"
    machine = machine_id.read_text().strip()[:16] if machine_id.exists() else ""
    return f"{socket.gethostname()}:{boot}:{machine}"


def acquire(engine: Engine, clock: Clock, name: str, ttl_seconds: float) -> Lease:
    """Takes a lease that is free, expired, or held by a process of this machine that is dead.

    Raises LeaseError if it is held.
    """
    with writing(engine, "acquire_lease") as connection:
        now = clock()
        held = connection.execute(select(leases).where(leases.c.name == name)).one_or_none()
        if held is not None and held.expires_at is not None and held.expires_at > now and not _dead(held):
            raise _held(name, held, now)
        values = {
            "token": held.token + 1 if held is not None else 1,
            "host": host_name(),
            "pid": os.getpid(),
            "process_started": psutil.Process().create_time(),
            "acquired_at": now,
            "expires_at": now + timedelta(seconds=ttl_seconds),
        }
        if held is None:
            connection.execute(insert(leases).values(name=name, **values))
        else:
            connection.execute(update(leases).where(leases.c.name == name).values(**values))
        return Lease(name, int(str(values["token"])), now + timedelta(seconds=ttl_seconds))


def renew(engine: Engine, clock: Clock, lease: Lease, ttl_seconds: float) -> Lease:
    """Holds on to a lease. Raises LeaseError if it was taken over."""
    with writing(engine, "renew_lease") as connection:
        check(connection, lease)
        expires = clock() + timedelta(seconds=ttl_seconds)
        connection.execute(update(leases).where(leases.c.name == lease.name).values(expires_at=expires))
    return Lease(lease.name, lease.token, expires)


def release(engine: Engine, lease: Lease) -> None:
    """Gives a lease back; does nothing if it was taken over meanwhile."""
    mine = (leases.c.name == lease.name) & (leases.c.token == lease.token)
    with writing(engine, "release_lease") as connection:
        connection.execute(update(leases).where(mine).values(expires_at=None))


def alive(engine: Engine, clock: Clock, name: str) -> bool:
    """Whether somebody who may be alive holds this lease."""
    with reading(engine) as connection:
        held = connection.execute(select(leases).where(leases.c.name == name)).one_or_none()
    return held is not None and held.expires_at is not None and held.expires_at > clock() and not _dead(held)


def held(engine: Engine, clock: Clock) -> list[HeldLease]:
    """Those that were not given back and have not run out."""
    with reading(engine) as connection:
        rows = connection.execute(select(leases).where(leases.c.expires_at > clock()).order_by(leases.c.name)).all()
    return [HeldLease(row.name, row.host, row.pid, row.acquired_at, row.expires_at, _dead(row)) for row in rows]


def check(connection: Connection, lease: Lease) -> None:
    """Refuses a write under a token that is no longer the newest. Part of every transaction that writes."""
    held = connection.execute(
        select(leases.c.token, leases.c.expires_at).where(leases.c.name == lease.name)
    ).one_or_none()
    if held is None or held.token != lease.token or held.expires_at is None:
        raise LeaseLost(
            f"the lease on {lease.name} was lost: another process took over after this one had been silent",
            hint="nothing was changed by this process since; rowkeeper runs shows what the other did",
        )


def _dead(held: Row[tuple[object, ...]]) -> bool:
    """Whether the holder was a process of this machine that is no more. Of other machines only time can tell."""
    if held.host != host_name():
        return _before_reboot(str(held.host))
    try:
        return bool(abs(psutil.Process(held.pid).create_time() - held.process_started) > 1)
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def _before_reboot(host: str) -> bool:
    """Whether it is this machine, before it was started the last time."""
    then, now = host.split(":"), host_name().split(":")
    return len(then) == len(now) and then[0] == now[0] and then[2] == now[2] != "" and then[1] != now[1]


def _held(name: str, held: Row[tuple[object, ...]], now: datetime) -> LeaseError:
    host = str(held.host).split(":")[0]
    left = (held.expires_at - now).total_seconds()
    return LeaseHeld(
        f"{name} is held by another run (process {held.pid} on {host}, since {held.acquired_at:%H:%M:%S} UTC)",
        hint=f"wait until it ends; if that process is gone, its lease ends by itself in {left:.0f} s",
        context={"pid": held.pid, "host": host},
    )
