"""`firewall`: rules for the declared endpoints, in the words of the firewall that will hold them."""

from __future__ import annotations

import pwd
import re
from datetime import UTC, datetime
from pathlib import Path

import click

from rowkeeper.cli.door import err, json_option, load_settings, print_json, write_page
from rowkeeper.errors import ConfigurationError
from rowkeeper.operations.alerts.declaring import reached_by
from rowkeeper.pipeline import select
from rowkeeper.runs.reaching import declared_endpoints
from rowkeeper.security.firewall import Scope, Wall, addresses_of, iptables, kubernetes, nameservers, nftables, wall_of
from rowkeeper.settings import Settings

CGROUP = re.compile(r"[\w@.:/-]+")  # nothing that ends a quotation
FORMATS = ("nftables", "iptables", "kubernetes")


@click.group()
def firewall() -> None:
    """Firewall rules that let out what is declared and nothing else."""


@firewall.command("render")
@click.argument("files", metavar="[FILE ...]", nargs=-1, type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(FORMATS), default="nftables", help="Whose words.")
@click.option("--uid", "user", help="The user whose packets are judged. Default: the owner of the state folder.")
@click.option("--cgroup", help="Judge a control group instead: system.slice/rowkeeper.service.")
@click.option("--refresh", is_flag=True, help="iptables: renew the chain alone; the jump to it is there.")
@click.option("--label", "labels", multiple=True, help="kubernetes: KEY=VALUE of the pods. Can be repeated.")
@click.option("--output", type=click.Path(path_type=Path), help="Write to this file instead of standard output.")
@json_option
def render(  # noqa: PLR0917 - click gives options by name
    files: tuple[Path, ...],
    form: str,
    user: str | None,
    cgroup: str | None,
    refresh: bool,
    labels: tuple[str, ...],
    output: Path | None,
    as_json: bool,
) -> None:
    """Print rules for the endpoints that the settings and these pipeline files declare. Nothing is applied."""
    settings = load_settings()
    endpoints = declared_endpoints(settings, [each for file in files for each in select(file, None)])
    endpoints = tuple(dict.fromkeys([*endpoints, *reached_by(settings)]))
    if cgroup is not None and not CGROUP.fullmatch(cgroup):
        raise ConfigurationError(
            f"{cgroup!r} is no control group", hint="its path below /sys/fs/cgroup: system.slice/rowkeeper.service"
        )
    scope = Scope(_uid_of(user, settings), cgroup)
    wall = wall_of(endpoints, scope, lookup=addresses_of, servers=nameservers(), now=datetime.now(UTC))
    text = _rendered(wall, form, refresh, _labels(labels))
    if output is not None:
        write_page(output, text, option="--output")
    if as_json:
        print_json({"format": form, "output": None if output is None else str(output), **wall.document()})
    elif output is None:
        click.echo(text, nl=False)
    if not wall.gaps:
        err.print("no endpoint off this machine is declared: these rules let out loopback and DNS alone")
    if cgroup is None and scope.uid == 0 and form != "kubernetes":
        err.print("[bold]caution:[/] the rules hold back root, and so all that the system itself sends; see --uid")


def _rendered(wall: Wall, form: str, refresh: bool, labels: dict[str, str]) -> str:
    if form == "iptables":
        return iptables(wall, refresh=refresh)
    return kubernetes(wall, labels) if form == "kubernetes" else nftables(wall)


def _uid_of(user: str | None, settings: Settings) -> int:
    """A number, the number of a name, or whose the state folder is: of whoever runs this, where there is none yet."""
    if user is None:
        folder = settings.home if settings.home.exists() else Path()
        return folder.stat().st_uid
    if user.isdecimal():
        return int(user)
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise ConfigurationError(
            f"there is no user {user} on this machine", hint="--uid takes a name of /etc/passwd, or a number"
        ) from None


def _labels(given: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for each in given:
        key, equals, value = each.partition("=")
        if not equals or not key:
            raise ConfigurationError(f"{each} is no label", hint="--label app=rowkeeper")
        found[key] = value
    return found
