"""`vpn`: WireGuard configuration from the settings, and whether the tunnels are as pipelines demand."""

from __future__ import annotations

import functools
from pathlib import Path

import click
from rich.markup import escape

from rowkeeper.cli.door import DONE, FAILED, err, json_option, load_settings, out, print_json
from rowkeeper.cli.findings import show_findings
from rowkeeper.configuration.file import PROFILES, SettingsFile
from rowkeeper.errors import SettingsError, VpnMisconfigured
from rowkeeper.nearest import did_you_mean
from rowkeeper.operations.vpncheck import examine_vpn
from rowkeeper.pipeline import select
from rowkeeper.resilience.calls import Calls
from rowkeeper.runs.reaching import declared_endpoints, gateway_of
from rowkeeper.runs.secrets import secrets_of
from rowkeeper.security.firewall import addresses_of
from rowkeeper.security.references import resolve
from rowkeeper.security.vpn import ThisMachine
from rowkeeper.security.vpn.configuration import Place, read_plan
from rowkeeper.security.vpn.rendering import rendered, write_private
from rowkeeper.settings import Settings


@click.group()
def vpn() -> None:
    """WireGuard interfaces: their configuration, and whether they are as pipelines demand."""


@vpn.command("render")
@click.argument("interface", required=False)
@click.option("--output", type=click.Path(path_type=Path), help="Write this file, mode 0600: /etc/wireguard/wg0.conf")
@click.option("--reveal", is_flag=True, help="Print it even if it holds a key.")
@json_option
def render(interface: str | None, output: Path | None, reveal: bool, as_json: bool) -> None:
    """Write the configuration of an interface for wg-quick, from [vpn.NAME] in the settings. Nothing is applied."""
    settings = load_settings()
    name = _chosen(settings, interface)
    plan = read_plan(name, settings.vpn[name], _place(settings))
    with secrets_of(settings, Calls(), gateway_of(settings)):
        made = rendered(plan, resolve)
    if output is not None:
        write_private(output, made.text)
    elif made.holds_a_key and not reveal:
        raise VpnMisconfigured(
            f"the configuration of {name} would hold a key, and is not printed",
            hint=f"--output /etc/wireguard/{name}.conf writes it with mode 0600; a file: reference keeps the key out "
            "of it; --reveal prints it after all",
        )
    if as_json:
        told = {"interface": name, "output": None if output is None else str(output), "holds_a_key": made.holds_a_key}
        print_json(
            {**told, "peers": [peer.label for peer in plan.peers], "notes": plan.notes, **_text(made.text, output)}
        )
        return
    if output is None:
        click.echo(made.text, nl=False)
    else:
        out.print(f"wrote [bold]{escape(str(output))}[/], mode 0600; bring it up: wg-quick up {escape(name)}")
    for note in plan.notes:
        err.print(f"[yellow]note[/]  {escape(note)}")


@vpn.command("check")
@click.argument("files", metavar="[FILE ...]", nargs=-1, type=click.Path(path_type=Path))
@json_option
def check(files: tuple[Path, ...], as_json: bool) -> int:
    """Look at planned and demanded interfaces, their handshakes, and the routes of what demands them."""
    settings = load_settings()
    place = _place(settings)
    with secrets_of(settings, Calls(), gateway_of(settings)):
        findings = examine_vpn(
            [functools.partial(read_plan, name, table, place) for name, table in settings.vpn.items()],
            declared_endpoints(settings, [each for file in files for each in select(file, None)]),
            kernel=ThisMachine(),
            follow=resolve,
            lookup=addresses_of,
        )
    if as_json:
        print_json({"checks": [each.as_dict() for each in findings]})
    else:
        show_findings(findings)
    return DONE if all(each.ok for each in findings) else FAILED


def _text(text: str, output: Path | None) -> dict[str, str]:
    """What is written to a file is not told a second time."""
    return {} if output is not None else {"text": text}


def _chosen(settings: Settings, interface: str | None) -> str:
    """The interface that is meant: the only one, where none is named."""
    planned = list(settings.vpn)
    if interface is None and len(planned) == 1:
        return planned[0]
    if not planned:
        raise SettingsError(
            "no VPN is configured", hint="[vpn.wg0] in rowkeeper.toml begins one; see docs/security-network.md"
        )
    if interface is None:
        raise SettingsError("several interfaces are configured", hint=f"name one of them: {', '.join(planned)}")
    if interface not in planned:
        raise SettingsError(
            f"there is no [vpn.{interface}]", hint=did_you_mean(interface, planned, f"there is {', '.join(planned)}")
        )
    return interface


def _place(settings: Settings) -> Place:
    """Lines of `rowkeeper.toml`, of the profile in use where that has the VPN."""
    file = SettingsFile.read()
    profile = settings.profile
    in_profile = profile is not None and "vpn" in file.profiles.get(profile, {})
    before = (PROFILES, str(profile), "vpn") if in_profile else ("vpn",)
    return lambda keys: file.place((*before, *keys))
