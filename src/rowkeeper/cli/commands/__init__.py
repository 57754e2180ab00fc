"""Every command: its words, and the function behind it; a file for each topic."""

import click

from rowkeeper.cli.commands.accounts import users
from rowkeeper.cli.commands.auditing import audit
from rowkeeper.cli.commands.certificates import certs
from rowkeeper.cli.commands.configuring import config
from rowkeeper.cli.commands.eventing import events
from rowkeeper.cli.commands.explaining import errors, explain
from rowkeeper.cli.commands.granting import grants, roles
from rowkeeper.cli.commands.history import runs, show
from rowkeeper.cli.commands.holding import abandon, publish, resume, staging
from rowkeeper.cli.commands.installing import doctor, init
from rowkeeper.cli.commands.keeping import keys
from rowkeeper.cli.commands.permitting import access
from rowkeeper.cli.commands.profiling import profile
from rowkeeper.cli.commands.reaching import endpoints
from rowkeeper.cli.commands.rejected import quarantine
from rowkeeper.cli.commands.reporting import bundle
from rowkeeper.cli.commands.revealing import reveal
from rowkeeper.cli.commands.running import recover, run
from rowkeeper.cli.commands.secrets import secrets
from rowkeeper.cli.commands.serving import serve
from rowkeeper.cli.commands.signing_in import tokens
from rowkeeper.cli.commands.spooled import spool
from rowkeeper.cli.commands.tables import query, rollback, verify
from rowkeeper.cli.commands.tunnelling import vpn
from rowkeeper.cli.commands.walling import firewall
from rowkeeper.cli.commands.working import schedule, status, worker
from rowkeeper.cli.door import Door, choose_profile

__all__ = ["main"]

main = Door("rowkeeper")
main.help = "Double-entry bookkeeping for data pipelines: every row that was read is on one line of the run's account."
main.params.append(click.Option(["--debug"], is_flag=True, expose_value=False, help="Show tracebacks."))
main.params.append(
    click.Option(["--profile"], callback=choose_profile, expose_value=False, help="The profile of rowkeeper.toml.")
)
click.version_option(package_name="rowkeeper")(main)
for command in (
    abandon,
    access,
    audit,
    bundle,
    certs,
    config,
    doctor,
    endpoints,
    errors,
    events,
    explain,
    firewall,
    grants,
    init,
    keys,
    profile,
    publish,
    quarantine,
    query,
    recover,
    resume,
    reveal,
    roles,
    rollback,
    run,
    runs,
    schedule,
    secrets,
    serve,
    show,
    spool,
    staging,
    status,
    tokens,
    users,
    verify,
    vpn,
    worker,
):
    main.add_command(command)
