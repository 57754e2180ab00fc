"""Every command: its words, and the function behind it; a file for each topic."""

import click

from rowkeeper.cli.commands.explaining import errors, explain
from rowkeeper.cli.commands.history import runs, show
from rowkeeper.cli.commands.holding import abandon, publish, resume, staging
from rowkeeper.cli.commands.installing import doctor, init
from rowkeeper.cli.commands.profiling import profile
from rowkeeper.cli.commands.reaching import endpoints
from rowkeeper.cli.commands.rejected import quarantine
from rowkeeper.cli.commands.reporting import bundle
from rowkeeper.cli.commands.running import recover, run
from rowkeeper.cli.commands.spooled import spool
from rowkeeper.cli.commands.tables import query, rollback, verify
from rowkeeper.cli.commands.tunnelling import vpn
from rowkeeper.cli.commands.walling import firewall
from rowkeeper.cli.commands.working import schedule, status, worker
from rowkeeper.cli.door import Door

__all__ = ["main"]

main = Door("rowkeeper")
main.help = "Double-entry bookkeeping for data pipelines: every row that was read is on one line of the run's account."
main.params.append(click.Option(["--debug"], is_flag=True, expose_value=False, help="Show tracebacks."))
click.version_option(package_name="rowkeeper")(main)
for command in (
    abandon,
    bundle,
    doctor,
    endpoints,
    errors,
    explain,
    firewall,
    init,
    profile,
    publish,
    quarantine,
    query,
    recover,
    resume,
    rollback,
    run,
    runs,
    schedule,
    show,
    spool,
    staging,
    status,
    verify,
    vpn,
    worker,
):
    main.add_command(command)
