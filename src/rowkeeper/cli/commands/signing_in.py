"""`users password | totp | sessions | certificate | identity`, and `tokens`: how accounts are recognised."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import click
from rich.markup import escape

from rowkeeper.access.administering import Administration
from rowkeeper.cli import render
from rowkeeper.cli.asking import asked_for
from rowkeeper.cli.commands.accounts import users
from rowkeeper.cli.door import err, json_option, out, print_json, workspace
from rowkeeper.ledger.signing_in import SessionRecord, TokenRecord
from rowkeeper.operations.credentials import session_document, token_document


@users.command("password")
@click.argument("name")
@json_option
def set_password(name: str, as_json: bool) -> None:
    """Give an account another password. It is asked for, or read from standard input. All its sessions end."""
    with workspace() as space:
        Administration(space.access, space.ledger).user(name)
        new = asked_for("new password", twice=True)
        ended = space.authentication.change_password(name, new)
        tokens = [each for each in space.authentication.accounts.tokens(name) if _is_good(each)]
    if as_json:
        print_json({"user": name, "sessions_ended": ended, "tokens": [each.id for each in tokens]})
        return
    out.print(f"[bold]{escape(name)}[/] has another password; {_counted(len(ended), 'session')} ended")
    if tokens:
        err.print(f"[bold]note:[/]  API tokens stay good: rowkeeper tokens list --user {escape(name)}")


@users.command("totp")
@click.argument("name")
@click.option("--remove", is_flag=True, help="Take the second factor away, of somebody who lost it.")
@click.option("--confirm", is_flag=True, help="Only ask for the first code, of a secret that was shown before.")
@json_option
def second_factor(name: str, remove: bool, confirm: bool, as_json: bool) -> None:
    """Set up an account's second factor: put the secret into an authenticator, then type the code that it shows.

    With --json the secret is printed, and --confirm goes on with the code from standard input.
    """
    if remove and confirm:
        raise click.UsageError("--remove and --confirm do not go together")
    with workspace() as space:
        factors = space.authentication.factors
        if remove:
            had = factors.remove(name)
            if as_json:
                print_json({"user": name, "removed": had})
            else:
                out.print(f"[bold]{escape(name)}[/] {'has no second factor any more' if had else 'had none'}")
            return
        if not confirm:
            made = factors.enrol(name)
            if as_json:
                print_json({"user": name, "secret": made.secret, "uri": made.uri})
                return
            out.print(f"secret: [bold]{made.secret}[/]\nuri:    {escape(made.uri)}\nshown this once")
        codes = factors.confirm(name, asked_for("code", hidden=False))
    if as_json:
        print_json({"user": name, "recovery_codes": codes})
        return
    out.print("from now on a code is asked for. Recovery codes, each for one use, shown this once:")
    for code in codes:
        out.print(f"    {code}")


@users.command("sessions")
@click.argument("name")
@click.option("--revoke-all", is_flag=True, help="End all of them.")
@json_option
def list_sessions(name: str, revoke_all: bool, as_json: bool) -> None:
    """An account's sessions, also those that ended within the last month."""
    with workspace() as space:
        ended = space.authentication.accounts.revoke_sessions(name) if revoke_all else []
        found = space.authentication.accounts.sessions(name)
    if as_json:
        print_json({"sessions": [session_document(each) for each in found], "ended": ended})
        return
    if revoke_all:
        out.print(f"{_counted(len(ended), 'session')} ended")
    _show_sessions(found)


@users.command("certificate")
@click.argument("name")
@click.option("--bind", metavar="CERTIFICATE", help="spiffe://DOMAIN/PATH, cn:NAME or sha256:FINGERPRINT.")
@click.option("--loose", metavar="CERTIFICATE", help="It is not this account any more.")
@json_option
def certificate(name: str, bind: str | None, loose: str | None, as_json: bool) -> None:
    """The client certificates that are a service's account, and which are to be."""
    with workspace() as space:
        if bind is not None:
            space.authentication.certificates.bind(name, bind)
        if loose is not None:
            space.authentication.certificates.loose(name, loose)
        found = space.authentication.certificates.of(name)
    if as_json:
        print_json({"user": name, "certificates": [{"name": each, "bound_at": at.isoformat()} for each, at in found]})
        return
    for each, at in found:
        out.print(f"{escape(each)}  since {at:%Y-%m-%d}")
    if not found:
        out.print("no certificate")


@users.command("identity")
@click.argument("name")
@click.option("--bind", metavar="SUBJECT", help="Whoever the identity provider names by this `sub` is this account.")
@click.option("--loose", is_flag=True, help="Nobody of the identity provider's is this account any more.")
@json_option
def identity(name: str, bind: str | None, loose: bool, as_json: bool) -> None:
    """Who of the identity provider's people signs in to an account, and who is to."""
    with workspace() as space:
        if loose:
            space.authentication.identities.loose(name)
        if bind is not None:
            space.authentication.identities.bind(name, bind)
        found = space.authentication.identities.of(name)
    if as_json:
        print_json({"user": name, "subjects": found})
        return
    out.print(escape("\n".join(found)) if found else "nobody of the identity provider's")


@click.group()
def tokens() -> None:
    """API tokens, by which programs ask a server: list, make, revoke."""


@tokens.command("list")
@click.option("--user", help="Only those of this account.")
@json_option
def list_tokens(user: str | None, as_json: bool) -> None:
    """Every API token, also those that are over, without its text."""
    with workspace() as space:
        found = space.authentication.accounts.tokens(user)
    if as_json:
        print_json({"tokens": [token_document(each) for each in found]})
    elif found:
        _show_tokens(found)
    else:
        out.print("no token")


@tokens.command("make")
@click.argument("user")
@click.option("--label", required=True, help="What it is for, such as 'nightly load'.")
@click.option("--days", type=click.IntRange(1, 366), default=90, show_default=True, help="How long it is good.")
@click.option(
    "--role", "roles", multiple=True, help="Limit it to this role of the account. May be given several times."
)
@click.option("--action", "actions", multiple=True, help="Limit it to this action, such as pipeline.run. As --role.")
@click.option("--pipeline", "pipelines", multiple=True, help="Limit it to this pipeline and its runs. As --role.")
@json_option
def make_token(
    user: str,
    label: str,
    days: int,
    *,
    roles: Sequence[str],
    actions: Sequence[str],
    pipelines: Sequence[str],
    as_json: bool,
) -> None:
    """Make an API token for an account. It is shown this once."""
    with workspace() as space:
        made = space.authentication.accounts.make_token(
            user,
            label,
            timedelta(days=days),
            roles=roles or None,
            actions=actions or None,
            pipelines=pipelines or None,
        )
    if as_json:
        print_json({"text": made.text, "token": token_document(made.record)})
        return
    err.print(f"good until {made.record.expires_at:%Y-%m-%d}, shown this once; its id is {made.record.id}")
    click.echo(made.text)


@tokens.command("revoke")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@json_option
def revoke_tokens(ids: Sequence[str], as_json: bool) -> None:
    """Revoke API tokens by their ids. A server knows within a second."""
    with workspace() as space:
        revoked = [space.authentication.accounts.revoke_token(each) for each in ids]
    if as_json:
        print_json({"tokens": [token_document(each) for each in revoked]})
        return
    for each in revoked:
        out.print(f"{each.id} of {escape(each.user)} is revoked")


def _is_good(token: TokenRecord) -> bool:
    return token.revoked_at is None


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _show_sessions(found: Sequence[SessionRecord]) -> None:
    if not found:
        out.print("no session")
        return
    table = render.grid("session", "begun", "from", "by", "last used", "until", "ended by")
    for each in found:
        seen, until = f"{each.seen_at:%Y-%m-%d %H:%M}", f"{each.ended_at or each.expires_at:%Y-%m-%d %H:%M}"
        ended = each.ended_by or ""
        table.add_row(
            each.id, f"{each.made_at:%Y-%m-%d %H:%M}", escape(each.address or ""), each.by, seen, until, ended
        )
    out.print(table)


def _show_tokens(found: Sequence[TokenRecord]) -> None:
    table = render.grid("token", "account", "label", "limited to", "until", "last used", "")
    for each in found:
        limits = [name for names in (each.roles, each.actions, each.pipelines) for name in sorted(names or ())]
        seen = "" if each.seen_at is None else f"{each.seen_at:%Y-%m-%d}"
        state = "[yellow]revoked[/]" if each.revoked_at else ""
        row = (each.id, escape(each.user), escape(each.label), escape(", ".join(limits)), f"{each.expires_at:%Y-%m-%d}")
        table.add_row(*row, seen, state)
    out.print(table)
