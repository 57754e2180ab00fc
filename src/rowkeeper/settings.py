"""What is configured: settings from the environment (`ROWKEEPER_*`), then from `rowkeeper.toml`, a profile's first.

A secret is never a setting: its place is, as a reference (`env:PGPASS`). A setting that takes one is a
`SecretReference`; a password in a URL is refused in any setting.

The state folder is `ROWKEEPER_HOME` (default `.rowkeeper/` in the working folder). What lives in it:

    home.json        the folder's own id and the version of its layout
    ledger.sqlite    the ledger, where no other ledger is set
    audit/           the newest signed checkpoint of the audit trail, outside the ledger
    engine/          the embedded ClickHouse: its tables, encrypted, and its socket
    quarantine/      rejected rows, sealed, a file per batch
    publish.lock     held by runs while they publish, and by a backup for its moment between them
    samples/         rows that quality gates object to, and the profiles of runs, sealed
    logs/            what happened, as JSON lines; bounded, and without values of rows
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, ValidationInfo, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from rowkeeper.configuration.file import PROFILES, SettingsFile
from rowkeeper.configuration.literal import HOW_TO_SPLIT, refuse_url
from rowkeeper.configuration.reference import parse
from rowkeeper.endpoints import Proxy, Via, endpoint_from, place_of_url
from rowkeeper.errors import ConfigurationError

PREFIX = "ROWKEEPER_"
OFF = "off"
DAYS_MAX = 36_500


def _refer(text: str, info: ValidationInfo) -> str:
    parse(text, str(info.field_name))
    return text


def _refer_to_key(text: str | None, info: ValidationInfo) -> str | None:
    if text is not None and not text.startswith("transit:"):
        parse(text, str(info.field_name))
    return text


SecretReference = Annotated[str, AfterValidator(_refer)]
"""The type of a setting that is a secret: where it is. `rowkeeper.security.references.resolve` gives the secret."""


def _listed(given: object) -> object:
    """A list that stands in one text, as in the environment."""
    return [each.strip() for each in given.split(",") if each.strip()] if isinstance(given, str) else given


def _all_endpoints(given: tuple[str, ...]) -> tuple[str, ...]:
    for each in given:
        try:
            endpoint_from(each)
        except ConfigurationError as error:
            raise ValueError(f"{error.what} ({error.hint})") from None
    return given


def _a_schedule(given: str) -> str:
    """A schedule, or `off`."""
    if given != OFF:
        from rowkeeper.schedule import Schedule  # noqa: PLC0415 - the default is known to be one

        try:
            Schedule.parse(given)
        except ConfigurationError as error:
            raise ValueError(f"{error.what} ({error.hint}, or off)") from None
    return given


def _an_interval(given: str) -> str:
    """`7d`, or a schedule."""
    _a_schedule(f"every {given}" if given != OFF and given.isalnum() else given)
    return given


def _an_interface(given: str | None) -> str | None:
    try:
        if given is not None:
            Via.parse(given)
    except ConfigurationError as error:
        raise ValueError(f"{error.what} ({error.hint})") from None
    return given


def _a_place(given: str | None) -> str | None:
    try:
        if given is not None:
            place_of_url(given)
    except ConfigurationError as error:
        raise ValueError(f"{error.what} ({error.hint})") from None
    return given


def _a_server(given: str | None) -> str | None:
    """The user before the host is part of it, as drivers have it; a password is refused wherever it stands."""
    if given is not None:
        scheme, _, rest = given.partition("://")
        _a_place(f"{scheme}://{rest.rpartition('@')[2]}")
        if scheme not in ("http", "https"):
            raise ValueError("a ClickHouse server is reached by http:// or https://")
    return given


def _all_witnesses(given: tuple[str, ...]) -> tuple[str, ...]:
    for each in given:
        url, _, key = each.partition(" ")
        if key.count("+") < 2:
            raise ValueError("a witness is its URL, a blank, and its public key NAME+ID+BASE64")
        _a_place(url)
    return given


def _a_proxy(given: str | None) -> str | None:
    try:
        return None if given is None else Proxy(given).url
    except ConfigurationError as error:
        raise ValueError(f"{error.what} ({error.hint})") from None


class Settings(BaseSettings):
    """Everything that can be set, with its default."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True)

    profile: Annotated[
        str | None,
        Field(description="The profile of rowkeeper.toml that comes before what is set there for all."),
    ] = None
    home: Annotated[Path, Field(description="The state folder.")] = Path(".rowkeeper")
    key: Annotated[
        str | None,
        AfterValidator(_refer_to_key),
        Field(
            description="Where the key is that wraps all other keys: file:PATH, env:NAME, keyring:SERVICE/NAME, "
            "vault:PATH#KEY, or transit:NAME for one that stays in the vault. Default: where it was when the state "
            "folder was made or its keys were wrapped anew; for a new one the file ~/.config/rowkeeper/<home id>.key."
        ),
    ] = None
    key_file: Annotated[Path | None, Field(description="The same as key = file:PATH.")] = None
    policy_file: Annotated[
        Path | None,
        Field(
            description="Protections of columns by classification, for all pipelines. Default: rowkeeper.policy.toml "
            "in the working folder, if there is one."
        ),
    ] = None
    alerts_file: Annotated[
        Path | None,
        Field(
            description="Rules, routes and maintenance windows of alerts. Default: rowkeeper-alerts.toml in the "
            "working folder, if there is one; without, the built-in rules, and nobody is told."
        ),
    ] = None
    ledger_url: Annotated[
        str | None,
        Field(description="A SQLAlchemy URL for the ledger, without a password. Default: SQLite in the state folder."),
    ] = None
    ledger_password: Annotated[
        SecretReference | None,
        Field(description="A reference to the password for ledger_url, such as env:PGPASS; read at each connect."),
    ] = None
    ledger_plaintext: Annotated[
        bool,
        Field(
            description="The ledger of ledger_url may be reached on another machine without TLS; each use is logged."
        ),
    ] = False
    tls_ca: Annotated[
        Path | None,
        Field(
            description="A PEM file with the authorities that are trusted, where a place does not name its own. "
            "Default: this machine's store."
        ),
    ] = None
    tls_cert: Annotated[
        Path | None,
        Field(description="A PEM file with the client certificate that is shown where a place does not name its own."),
    ] = None
    tls_key: Annotated[Path | None, Field(description="A PEM file with the key of tls_cert (0600).")] = None
    tls_key_passphrase: Annotated[
        SecretReference | None,
        Field(description="A reference to the passphrase of tls_key, such as env:KEY_PASSPHRASE."),
    ] = None
    tls_crl: Annotated[
        Path | None,
        Field(description="A PEM file with revocation lists; then chains with an authority without one are refused."),
    ] = None
    batch_rows: Annotated[int, Field(gt=0, le=10_000_000, description="Rows read and checked at a time.")] = 65_536
    insert_rows: Annotated[
        int, Field(gt=0, le=10_000_000, description="Rows staged at a time, in as many batches as it takes.")
    ] = 131_072
    queue_batches: Annotated[
        int, Field(gt=0, le=64, description="Batches that may wait between two stages of a run.")
    ] = 2
    memory_max: Annotated[
        ByteSize | None,
        Field(
            ge=256 * 1024**2,
            description="Memory that all runs on this machine and the embedded engine may take together, such as 700MB "
            "or 4GiB: batches, inserts and queues are sized by it, and a run that does not fit beside others waits. "
            "Default: half the machine, or the control group's limit.",
        ),
    ] = None
    disk_free_min: Annotated[
        ByteSize | None,
        Field(
            ge=0,
            description="What stays free on the state folder's disk: a run stops before it takes that, and can go on. "
            "Default: 256 MB, or a twentieth of a disk of less than 5 GB.",
        ),
    ] = None
    threads: Annotated[
        int | None,
        Field(
            gt=0,
            le=1024,
            description="Threads that Polars, Arrow and one statement of the engine use. Default: as many as there are "
            "processors in the process's affinity and the control group's quota.",
        ),
    ] = None
    nice: Annotated[
        int,
        Field(ge=0, le=19, description="Priority of command and engine: 19 goes last. It is never raised again."),
    ] = 0
    lease_seconds: Annotated[float, Field(gt=0, description="How long a silent run keeps its destination.")] = 30.0
    engine_idle_seconds: Annotated[
        float, Field(gt=0, description="The embedded engine's host goes away after so long without work.")
    ] = 60.0
    engine_memory_bytes_max: Annotated[
        int | None,
        Field(gt=0, description="Memory that one statement of the embedded engine may take. Default: by memory_max."),
    ] = None
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="Lines of this level and above are logged.")
    ] = "info"
    log_stderr: Annotated[
        Literal["off", "console", "json"],
        Field(description="Log to standard error as well: in columns for people, or as JSON lines."),
    ] = "off"
    log_bytes_max: Annotated[
        int,
        Field(
            ge=0,
            description="How big `logs/rowkeeper.log` in the state folder may grow; four former ones are kept. "
            "0 writes none.",
        ),
    ] = 5_000_000
    query_seconds_max: Annotated[float, Field(gt=0, description="How long one `rowkeeper query` may run.")] = 300.0
    worker_runs_max: Annotated[
        int,
        Field(
            gt=0,
            le=64,
            description="Runs that one worker has under way at a time, fewer where memory or disk are short. Every run "
            "is sized so that as many fit in memory_max beside each other.",
        ),
    ] = 2
    worker_run_seconds_max: Annotated[
        float, Field(gt=0, description="A worker's run that takes longer is told to stop, and killed 10 s later.")
    ] = 6 * 3600.0
    worker_reconcile_seconds: Annotated[
        float,
        Field(gt=0, description="How often a worker looks for runs that were left behind, give or take half."),
    ] = 30.0
    maintain_schedule: Annotated[
        str,
        AfterValidator(_a_schedule),
        Field(
            description="When a worker has `rowkeeper maintain` done: as a pipeline's schedule, such as `30 3 * * *` "
            "(UTC) or `every 1d`; `off` is never."
        ),
    ] = "30 3 * * *"
    undo_keep_days: Annotated[
        float | None,
        Field(
            ge=0,
            le=DAYS_MAX,
            description="How long maintenance leaves the former state of a table, by which its last run can be taken "
            "back whatever it replaced. Default: until the next run.",
        ),
    ] = None
    quarantine_keep_days: Annotated[
        float | None,
        Field(
            ge=0,
            le=DAYS_MAX,
            description="How long rejected rows, and rows that quality gates object to, are kept after the end of "
            "their run; counts and reasons stay. Default: for ever.",
        ),
    ] = None
    history_keep_days: Annotated[
        float | None,
        Field(
            ge=0,
            le=DAYS_MAX,
            description="How long it is kept how runs came about: their batches, judgements and profiles, and runs "
            "that published nothing. Accounts, books and audit trail stay. Default: for ever.",
        ),
    ] = None
    slots_keep_days: Annotated[
        float,
        Field(
            ge=1,
            le=DAYS_MAX,
            description="How long slots of schedules are kept after they ended. Which instants were answered stays "
            "known for good.",
        ),
    ] = 90
    alerts_keep_days: Annotated[
        float,
        Field(ge=1, le=DAYS_MAX, description="How long alerts and silences are kept after they were over."),
    ] = 90
    notices_keep_days: Annotated[
        float,
        Field(
            ge=1,
            le=DAYS_MAX,
            description="How long notices of alerts, and the record of each attempt to deliver them, are kept after "
            "they were delivered or given up.",
        ),
    ] = 90
    maintain_parts_max: Annotated[
        int,
        Field(ge=1, le=3000, description="A partition of a ClickHouse table in more parts than that is merged."),
    ] = 100
    maintain_merge_bytes_max: Annotated[
        ByteSize,
        Field(ge=0, description="How many bytes of parts one `rowkeeper maintain` may merge; the rest waits."),
    ] = ByteSize(10 * 1024**3)
    alerts_seconds: Annotated[
        float,
        Field(
            gt=0,
            description="How often the rules of alerts are looked at: by one of the workers and servers that are up.",
        ),
    ] = 60.0
    server_alerts: Annotated[
        bool,
        Field(
            description="Whether `serve` has the rules of alerts looked at and notices delivered, as a worker does, so "
            "that an installation without a worker hears of them too."
        ),
    ] = True
    server_health: Annotated[
        bool,
        Field(
            description="Whether `serve` looks at the health of the installation, and at freshness and deadlines of "
            "the pipelines in its files, as a worker does: every `health_seconds`."
        ),
    ] = True
    egress: Annotated[
        Literal["enforce", "warn", "off"],
        Field(
            description="What becomes of connections to places that neither settings nor pipelines declare: refused, "
            "logged, or nothing."
        ),
    ] = "enforce"
    egress_allow: Annotated[
        tuple[str, ...],
        NoDecode,
        BeforeValidator(_listed),
        AfterValidator(_all_endpoints),
        Field(
            description="More places that may be reached, with commas between them: networks (10.1.2.0/24), addresses, "
            "hosts, each with or without a port, or URLs. Private addresses are meant.",
        ),
    ] = ()
    proxy: Annotated[
        str | None,
        AfterValidator(_a_proxy),
        Field(
            description="By which public hosts are reached: socks5://, socks5h:// (the proxy looks names up) or "
            "http:// (CONNECT), with a user where it asks for one, without a password.",
        ),
    ] = None
    proxy_password: Annotated[
        SecretReference | None,
        Field(description="A reference to the password of the proxy's user, such as env:PROXY_PASSWORD."),
    ] = None
    clickhouse_url: Annotated[
        str | None,
        AfterValidator(_a_server),
        Field(
            description="A ClickHouse server in the place of the embedded engine, for all tables that name none: "
            "https://USER@HOST:8443/DATABASE, without a password."
        ),
    ] = None
    clickhouse_password: Annotated[
        SecretReference | None,
        Field(description="A reference to the password of the user in clickhouse_url; read at each connect."),
    ] = None
    clickhouse_replicas: Annotated[
        tuple[str, ...],
        NoDecode,
        BeforeValidator(_listed),
        Field(description="URLs of more replicas of that server, with commas between them: https://HOST:8443."),
    ] = ()
    clickhouse_cluster: Annotated[
        str | None,
        Field(
            description="The cluster on all of whose hosts tables are made and changed (ON CLUSTER), where the "
            "database is not of the engine Replicated, which sees to that by itself."
        ),
    ] = None
    clickhouse_replicated: Annotated[
        bool, Field(description="Tables are made as ReplicatedMergeTree, in a Replicated database or on a cluster.")
    ] = False
    clickhouse_quorum: Annotated[
        int | Literal["auto"] | None,
        Field(description="By how many replicas each insert is taken before it counts; auto is most of them."),
    ] = None
    clickhouse_plaintext: Annotated[
        bool, Field(description="The server may be reached on another machine without TLS; each use is logged.")
    ] = False
    clickhouse_via: Annotated[
        str | None,
        AfterValidator(_an_interface),
        Field(description="The interface by which alone the ClickHouse server is reached, as ledger_via."),
    ] = None
    clickhouse_read_user: Annotated[
        str | None,
        Field(description="Who runs SQL that people type on that server. Default: the user of clickhouse_url."),
    ] = None
    clickhouse_read_password: Annotated[
        SecretReference | None, Field(description="A reference to the password of clickhouse_read_user.")
    ] = None
    vault_address: Annotated[
        str | None,
        Field(description="Where vault: references lead to: the URL of OpenBao or Vault, https:// off this machine."),
    ] = None
    vault_namespace: Annotated[str | None, Field(description="The namespace of the vault, where it has any.")] = None
    vault_token: Annotated[
        SecretReference | None, Field(description="A reference to a token for the vault. Instead of an AppRole.")
    ] = None
    vault_role_id: Annotated[
        SecretReference | None, Field(description="A reference to the role id of an AppRole; with vault_secret_id.")
    ] = None
    vault_secret_id: Annotated[
        SecretReference | None, Field(description="A reference to the secret id of an AppRole; with vault_role_id.")
    ] = None
    vault_approle_mount: Annotated[str, Field(description="Where the vault has its AppRoles.")] = "approle"

    ledger_via: Annotated[
        str | None,
        AfterValidator(_an_interface),
        Field(
            description="The interface by which alone the ledger is reached, such as wg0. wg0:route looks at route and "
            "link, and at no handshake."
        ),
    ] = None
    vault_via: Annotated[
        str | None,
        AfterValidator(_an_interface),
        Field(description="The interface by which alone the vault is reached, as ledger_via."),
    ] = None
    oidc_issuer: Annotated[
        str | None,
        Field(description="The identity provider (OpenID Connect) where people sign in: its issuer, an https:// URL."),
    ] = None
    oidc_client_id: Annotated[str | None, Field(description="By what the identity provider knows Rowkeeper.")] = None
    oidc_client_secret: Annotated[
        SecretReference | None,
        Field(description="A reference to the secret that goes with oidc_client_id; none for a public client."),
    ] = None
    oidc_redirect_url: Annotated[
        str | None,
        Field(
            description="Where the identity provider sends browsers back to: https://HOST:PORT/api/v1/oidc/callback, "
            "as it is registered there."
        ),
    ] = None
    oidc_user_claim: Annotated[
        str,
        Field(
            min_length=1,
            description="The claim by which somebody's account is found at their first time; later it is by sub. "
            "email has to be verified.",
        ),
    ] = "preferred_username"
    oidc_create: Annotated[
        bool, Field(description="Make an account, without roles, for whoever signs in there and has none.")
    ] = False
    oidc_roles_claim: Annotated[
        str | None, Field(description="The claim that says the roles, such as groups. Default: roles are given here.")
    ] = None
    oidc_roles: Annotated[
        dict[str, str],
        Field(
            description="Which role each value of oidc_roles_claim is: in rowkeeper.toml, [oidc_roles]. These roles "
            "are given and taken at each signing in, others are left alone."
        ),
    ] = {}
    oidc_via: Annotated[
        str | None,
        AfterValidator(_an_interface),
        Field(description="The interface by which alone the identity provider is reached, as ledger_via."),
    ] = None
    session_idle_seconds: Annotated[
        float, Field(ge=300, le=7 * 86400, description="A session of the server ends that is not used for so long.")
    ] = 1800.0
    session_seconds_max: Annotated[
        float,
        Field(ge=300, le=30 * 86400, description="A session of the server ends after so long, however it is used."),
    ] = 12 * 3600.0
    server_address: Annotated[
        str,
        Field(
            pattern=r"^(\[[0-9a-fA-F:.%]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$",
            description="Where `rowkeeper serve` listens: ADDRESS:PORT; port 0 takes a free one. Beyond this machine "
            "only if it is said here, and by TLS.",
        ),
    ] = "127.0.0.1:7443"
    server_hosts: Annotated[
        tuple[str, ...],
        NoDecode,
        BeforeValidator(_listed),
        Field(
            description="Names by which the server is asked, besides its address and localhost, with commas between "
            "them: requests that name another host are refused, and its own certificate is for these."
        ),
    ] = ()
    server_cert: Annotated[
        Path | None,
        Field(
            description="A PEM file with the server's certificate and its chain. Default: one of the private "
            "authority, issued and renewed by itself."
        ),
    ] = None
    server_key: Annotated[Path | None, Field(description="A PEM file with the key of server_cert (0600).")] = None
    server_key_passphrase: Annotated[
        SecretReference | None,
        Field(description="A reference to the passphrase of server_key, such as env:SERVER_KEY_PASSPHRASE."),
    ] = None
    server_client_ca: Annotated[
        Path | None,
        Field(
            description="A PEM file with the authorities whose client certificates the server takes. A client need "
            "not show one. Default: none are asked for."
        ),
    ] = None
    server_client_crl: Annotated[
        Path | None, Field(description="A PEM file with revocation lists for client certificates.")
    ] = None
    server_plaintext: Annotated[
        bool,
        Field(
            description="The server speaks HTTP without TLS, on this machine alone; each start is in the audit trail."
        ),
    ] = False
    server_body_bytes_max: Annotated[ByteSize, Field(ge=1024, description="How big the body of a request may be.")] = (
        ByteSize(1024**2)
    )
    server_seconds_max: Annotated[
        float, Field(gt=0, le=3600, description="How long the server may take for one request; jobs take longer.")
    ] = 30.0
    server_address_rate: Annotated[
        float, Field(gt=0, description="Requests a second from one address; five seconds' worth may come at once.")
    ] = 200.0
    server_caller_rate: Annotated[
        float, Field(gt=0, description="Requests a second of one caller; five seconds' worth may come at once.")
    ] = 100.0
    server_requests_max: Annotated[
        int, Field(gt=0, le=1024, description="Requests under way at a time; others are told to come again.")
    ] = 64
    server_connections_max: Annotated[
        int, Field(gt=0, le=65_536, description="Connections at a time; a quarter of them from one address.")
    ] = 1024
    server_jobs_max: Annotated[
        int, Field(gt=0, le=64, description="Jobs (runs, replays, rollbacks) that the server has under way at a time.")
    ] = 2
    backup_to: Annotated[
        str | None,
        Field(
            description="Where backups are: a folder, best on another machine, or s3://, gs:// or az:// with bucket "
            "and folder. From then on what runs take out of tables is kept until a backup has it. Default: none are "
            "made."
        ),
    ] = None
    backup_access: Annotated[
        dict[str, Any],
        Field(
            description="Who we are in the bucket of backup_to: what rk.S3, rk.GCS or rk.Azure take, secrets by "
            "reference; in rowkeeper.toml, [backup_access]."
        ),
    ] = {}
    backup_schedule: Annotated[
        str,
        AfterValidator(_a_schedule),
        Field(description="When a worker has a backup made: as a pipeline's schedule; `off` is never."),
    ] = OFF
    backup_after_runs: Annotated[
        int | None,
        Field(gt=0, description="A worker has a backup made when so many runs were published since the last one."),
    ] = None
    backup_full_every: Annotated[
        str,
        AfterValidator(_an_interval),
        Field(
            description="Of the worker's backups, how often one is full: `7d`, or a schedule such as `0 1 * * 0`; "
            "`off` is the first alone. The others go on from the one before."
        ),
    ] = "7d"
    backup_keep: Annotated[
        str | None,
        Field(
            description="Which backups `rowkeeper backup prune` keeps: of how many hours, days, weeks, months and "
            "years the newest, and how many of the newest: `5 last, 7 daily, 4 weekly, 12 monthly, 3 yearly`. Default: "
            "it has to be said."
        ),
    ] = None
    backup_prune_schedule: Annotated[
        str,
        AfterValidator(_a_schedule),
        Field(description="When a worker has backups pruned, if backup_keep is set; `off` is never."),
    ] = OFF
    backup_prune_access: Annotated[
        dict[str, Any],
        Field(
            description="Who we are in the bucket of backups when we remove some of them, as backup_access, which then "
            "needs no right to delete; in rowkeeper.toml, [backup_prune_access]. Default: the same."
        ),
    ] = {}
    drill_schedule: Annotated[
        str,
        AfterValidator(_a_schedule),
        Field(
            description="When a worker has the newest backup restored into an empty place and verified; `off`: never."
        ),
    ] = OFF
    metrics_file: Annotated[
        Path | None,
        Field(
            description="A file that gets all metrics after each command that ended a run, for the textfile collector "
            "of node_exporter: a name that ends in .prom, in its folder."
        ),
    ] = None
    health_seconds: Annotated[
        float,
        Field(
            ge=1,
            le=86_400,
            description="How often a worker or server looks at the health of the installation and of its pipelines, "
            "give or take half. More often than engine_idle_seconds keeps an embedded engine up that is up.",
        ),
    ] = 300.0
    health_disk_days_min: Annotated[
        float,
        Field(ge=0, description="Health warns if the disk, filling up as it did lately, is full within so many days."),
    ] = 3.0
    health_key_days_max: Annotated[
        float, Field(gt=0, description="Health warns of a key that seals for longer than so many days.")
    ] = 365.0
    health_former_key_days_max: Annotated[
        float,
        Field(
            ge=0,
            le=DAYS_MAX,
            description="Health warns if something is still sealed with a former key so many days after its keyset was "
            "rotated.",
        ),
    ] = 90.0
    health_quarantine_factor: Annotated[
        float,
        Field(
            ge=1,
            description="Health warns if the last runs of a pipeline reject so many times the share of rows that is "
            "usual for it.",
        ),
    ] = 3.0
    health_backup_days_max: Annotated[
        float,
        Field(gt=0, description="Health warns of a newest backup of so many days, if runs were published since."),
    ] = 2.0
    health_drill_days_max: Annotated[
        float,
        Field(gt=0, description="Health warns if no backup was restored to try it (backup drill) for so many days."),
    ] = 35.0
    health_overdue_seconds: Annotated[
        float, Field(ge=0, description="How long a scheduled run may be late before health says that it is overdue.")
    ] = 300.0
    vpn: Annotated[
        dict[str, Any],
        Field(
            description="WireGuard interfaces that `rowkeeper vpn render` writes: in rowkeeper.toml, [vpn.wg0] and "
            "[[vpn.wg0.peers]]."
        ),
    ] = {}

    @property
    def key_reference(self) -> str | None:
        """The reference of the key that wraps all other keys, as it is set."""
        return f"file:{self.key_file}" if self.key_file is not None else self.key

    @model_validator(mode="after")
    def _refuse_two_keys(self) -> Self:
        if self.key is not None and self.key_file is not None:
            raise ValueError("key and key_file are both set, and mean the same: unset one of them")
        return self

    @model_validator(mode="after")
    def _refuse_secrets(self) -> Self:
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, str):
                refuse_url(value, name, hint=HOW_TO_SPLIT if name == "ledger_url" else "")
        return self

    access_policies: Annotated[
        Path | None,
        Field(
            description="Policies written by hand: a .cedar file, or a folder of them. Without: the built-in roles, "
            "and what the ledger has of roles and grants."
        ),
    ] = None
    audit_checkpoint: Annotated[
        Path | None,
        Field(
            description="A file, best on another machine's disk, that gets each checkpoint of the audit trail besides "
            "`audit/checkpoint` in the state folder: by it an older copy of the whole state folder is found out."
        ),
    ] = None
    audit_url: Annotated[
        str | None,
        AfterValidator(_a_place),
        Field(
            description="A URL that gets each checkpoint of the audit trail, and gives it back when the trail is "
            "verified: https:// off this machine."
        ),
    ] = None
    audit_url_method: Annotated[Literal["PUT", "POST"], Field(description="How a checkpoint is sent to audit_url.")] = (
        "PUT"
    )
    audit_url_token: Annotated[
        SecretReference | None,
        Field(description="A reference to the bearer token for audit_url, where it wants one."),
    ] = None
    audit_witnesses: Annotated[
        tuple[str, ...],
        NoDecode,
        BeforeValidator(_listed),
        AfterValidator(_all_witnesses),
        Field(
            description="Witnesses that cosign the checkpoints of the audit trail (c2sp.org/tlog-witness): URL KEY, "
            "the submission prefix and the public key (NAME+ID+BASE64), with a blank between them."
        ),
    ] = ()
    audit_trusted: Annotated[
        tuple[str, ...],
        Field(
            description="Public keys (NAME+ID+BASE64, as `rowkeeper audit key` prints them) of other machines that "
            "write the same ledger."
        ),
    ] = ()

    @model_validator(mode="after")
    def _refuse_halves(self) -> Self:
        if self.ledger_password is not None and self.ledger_url is None:
            raise ValueError("ledger_password is for the server of ledger_url, which is not set")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment comes before the file: what is nearer to the command wins."""
        return init_settings, env_settings, _FileSource(settings_cls)


class _FileSource(PydanticBaseSettingsSource):
    """`rowkeeper.toml` in the working folder, read for the profile that an argument or the environment chose."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Asked of each field by other sources; here all come at once."""
        raise NotImplementedError

    def __call__(self) -> dict[str, Any]:
        file, fields = SettingsFile.read(), self.settings_cls.model_fields
        file.refuse_unknown([name for name in fields if name != PROFILES])
        file.refuse_literals([name for name, field in fields.items() if SecretReference in get_args(field.annotation)])
        return {**file.shared, **file.of_profile(self.current_state.get("profile") or None)}
