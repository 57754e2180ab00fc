"""The commands, one module for each topic, imported when one of its commands is given."""

import click

from rowkeeper.cli.door import Door, choose_profile

__all__ = ["PLACES", "main"]

# By name of a command: its module, and its sentence for `rowkeeper --help`, for which nothing is imported.
PLACES = {
    "abandon": ("holding", "Give up a run that died, was stopped, or is held: its input is as if never read."),
    "access": (
        "permitting",
        "Who may do what: why, whether it is as a file expects, and whether policies are sound.",
    ),
    "alerts": ("alerting", "What needs somebody, and who is told: list, check, silence, acknowledge, test."),
    "audit": ("auditing", "Who did what, in a trail that nobody can change unnoticed: list, verify, prove."),
    "backup": ("backing_up", "Backups of tables, ledger, keysets and settings: create, list, verify, drill."),
    "bundle": (
        "reporting",
        "Make a zip to attach to a report of a fault: log, plan, settings, versions; no secrets, no values of rows.",
    ),
    "certs": (
        "certificates",
        "A private authority: certificates for servers and clients of one's own, and a look at those of others.",
    ),
    "config": ("configuring", "What is configured, and from where."),
    "doctor": ("installing", "What is wrong with this installation, and the mend."),
    "endpoints": (
        "reaching",
        "Every place on the network that the settings and the pipelines of these files declare; no other is reached.",
    ),
    "errors": ("explaining", "What an error code means, and what to do; without a code, all of them."),
    "events": ("eventing", "Security events, in the classes of OCSF: list, export."),
    "explain": (
        "explaining",
        "How each field of the contract is checked, and why; what source and destination guarantee.",
    ),
    "files": ("filed", "Which files a table of files is now, for whoever reads it."),
    "firewall": ("walling", "Firewall rules that let out what is declared and nothing else."),
    "freshness": ("freshening", "What is known of the keys that are watched for freshness: list, retire."),
    "grants": (
        "granting",
        "What is granted to accounts and roles, on what, for which purpose, until when: list, add, remove.",
    ),
    "health": (
        "healthy",
        "How it stands with the installation, and with the pipelines of FILE: the worst first, with the mend.",
    ),
    "init": (
        "installing",
        "Write a pipeline file to start from: for a sample file, or for the tables of a database (its URL).",
    ),
    "keys": ("keeping", "The keys of everything at rest: list, rotate, rewrap, revoke."),
    "maintain": (
        "maintaining",
        "Remove what is no longer needed, by what is set; merge tables in many parts; tidy the ledger.",
    ),
    "metrics": (
        "measuring",
        "What there is to count: show, write to a file, alert rules and a dashboard.",
    ),
    "profile": ("profiling", "What the columns of the last load look like, and what changed since the one before."),
    "publish": ("holding", "Publish a run that its quality gates hold, on the record."),
    "quarantine": ("rejected", "Rejected rows: list, show, export, replay."),
    "query": ("tables", "SQL on the embedded ClickHouse, read only."),
    "recover": ("running", "Finish or undo what dead runs left behind."),
    "restore": (
        "restoring",
        "Restore tables, ledger, keysets and sealed files from backups, all of it as it was at one point in time.",
    ),
    "resume": ("holding", "Go on with a run that died, was stopped, or is held: its pipeline is run again."),
    "reveal": ("revealing", "Turn the values of a protected column back, for a reason, and on the record."),
    "roles": ("granting", "What roles there are, and what each may: list, show, add, remove, filter."),
    "rollback": ("tables", "Take a published run back; its input counts as not loaded."),
    "run": ("running", "Run the pipelines of a file, or the one of this name."),
    "runs": ("history", "What ran."),
    "schedule": ("scheduling", "When pipelines are due, and how their schedules stand: list, pause, resume, backfill."),
    "secrets": ("secrets", "Secrets, where they do not belong."),
    "serve": ("serving", "Serve the API, and the pipelines of these files, until told to stop."),
    "show": (
        "history",
        "One run: its account, what failed, where, how often, what was done about it, and what to do now.",
    ),
    "spool": ("spooled", "Runs that wait in encrypted files until their destination can take them."),
    "staging": ("holding", "What a run has staged and not published: its account, its quality gates, its rows."),
    "status": ("working", "What is scheduled, due next, under way, and what became of it the last time."),
    "tokens": ("signing_in", "API tokens, by which programs ask a server: list, make, revoke."),
    "users": (
        "signing_in",  # which adds to the group of `accounts`
        "Accounts of people and services: list, add, disable and enable them, give and take roles.",
    ),
    "verify": ("tables", "Recompute what is in the tables, and compare it with the books."),
    "vpn": ("tunnelling", "WireGuard interfaces: their configuration, and whether they are as pipelines demand."),
    "worker": (
        "working",
        "Run the scheduled pipelines of these files, and finish what dead runs left behind, until told to stop.",
    ),
}

main = Door("rowkeeper", PLACES)
main.help = "Double-entry bookkeeping for data pipelines: every row that was read is on one line of the run's account."
main.params.append(click.Option(["--debug"], is_flag=True, expose_value=False, help="Show tracebacks."))
main.params.append(
    click.Option(["--profile"], callback=choose_profile, expose_value=False, help="The profile of rowkeeper.toml.")
)
click.version_option(package_name="rowkeeper")(main)
