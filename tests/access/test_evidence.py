"""What leaves an entry besides what runs do: looks at data, certificates, other settings, places without TLS."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from rowkeeper.access import Access, Column, Decision, Sight, TableView
from rowkeeper.access.resource import Resource
from rowkeeper.caller import Caller, acting
from rowkeeper.errors import AccessDenied, AuditBroken
from rowkeeper.operations.auditing import export_trail
from rowkeeper.operations.incident import incident_of
from rowkeeper.operations.staged import show_staged
from rowkeeper.pipeline import load_file
from rowkeeper.runs.asking import show_rejected
from rowkeeper.runs.journal import log_path
from rowkeeper.runs.profiling import profile_report
from rowkeeper.runs.replaying import export_rejected
from rowkeeper.runs.workspace import Workspace
from rowkeeper.security.tls import require_tls
from rowkeeper.settings import Settings
from tests.access.governed import NOBODY, opened, unwritable
from tests.arena import Arena

LOOKS = {
    "profile.show": ("profile", "p.py:flights"),
    "staging.show": ("staging", "2"),
    "run.show": ("show", "1"),
    "run.bundle": ("bundle", "1", "--output", "one.zip"),
    "pipeline.verify": ("verify", "p.py:flights"),
    "audit.export": ("audit", "export", "tiles"),
    "certificate.found": ("certs", "init"),
    "certificate.issue": ("certs", "issue", "web"),
    "certificate.renew": ("certs", "renew", "web"),
    "certificate.revoke": ("certs", "revoke", "web"),
}


def actions(space: Workspace) -> list[str]:
    return [each.event.action for each in space.ledger.audit.newest(1_000)]


def test_each_look_at_data_and_each_certificate_is_an_entry(furnished: Arena):
    """One for each command, of the user who gave it, in the order in which they were given."""
    begun = len(furnished.ok("audit", "list", "--limit", "1000")["entries"])
    furnished.answers(*LOOKS.values())
    entries = furnished.ok("audit", "list", "--limit", "1000")["entries"][begun:]
    assert [each["action"] for each in entries] == list(LOOKS)
    assert {each["name"].partition(":")[0] for each in entries} == {"os"}


def test_lists_and_figures_leave_none(furnished: Arena):
    """They show no value of a row."""
    begun = len(furnished.ok("audit", "list", "--limit", "1000")["entries"])
    furnished.answers(("runs",), ("status",), ("quarantine", "list"), ("spool", "list"), ("keys", "list"))
    assert len(furnished.ok("audit", "list", "--limit", "1000")["entries"]) == begun


def test_certificates_are_renewed_although_the_ledger_is_away(own_arena: Arena):
    """It may be on the server that waits for its certificate. The owner may; the log says that no entry was written."""
    own_arena.ok("certs", "init")
    away = {"ROWKEEPER_LEDGER_URL": "postgresql+psycopg://127.0.0.1:1/ledger"}
    outcome = own_arena.run("certs", "issue", "db", "--json", env=away)
    assert (outcome.status, [each["name"] for each in outcome.json["certificates"]]) == (0, ["db"]), outcome
    assert "no audit entry, as the ledger is out of reach" in _log(own_arena)


def _log(arena: Arena) -> str:
    return log_path(arena.home).read_text()


SHOWN: dict[str, Callable[[Workspace, Path], object]] = {
    "quarantine show": lambda space, _: show_rejected(1, space, limit=1),
    "profile": lambda space, file: profile_report(load_file(file)["flights"], space),
    "show": lambda space, _: incident_of(1, space),
    "audit export": lambda space, file: export_trail(space, file.parent / "never"),
}


@pytest.mark.parametrize("name", SHOWN)
def test_what_cannot_be_noted_is_not_shown(name: str, furnished: Arena):
    """Not even to the owner: the ledger's error comes instead."""
    with unwritable(furnished.home), opened(furnished) as space, pytest.raises(AuditBroken):
        SHOWN[name](space, furnished.folder / "p.py")
    assert not (furnished.folder / "never").exists()


# ------------------------------------------------------------------------------------------- settings


def test_another_setting_is_noted_by_its_name(tmp_path: Path):
    """Once, before anything is done; how fast or how large is nobody's concern."""
    settings = Settings(home=tmp_path / "home", key_file=tmp_path / "key", egress="off")
    with Workspace.open(settings) as space:
        assert actions(space) == []
    other = settings.model_copy(update={"egress": "observe", "audit_checkpoint": tmp_path / "c", "threads": 1})
    for _ in range(2):
        with Workspace.open(other) as space:
            (entry,) = space.ledger.audit.newest(10, "settings")
    assert entry.event.detail == {"changed": ["audit_checkpoint", "egress"]}


def test_what_the_settings_were_is_kept_for_their_owner_alone(tmp_path: Path):
    """As hashes, in a private file; a damaged one counts as other settings."""
    settings = Settings(home=tmp_path / "home", key_file=tmp_path / "key", egress="off")
    with Workspace.open(settings):
        kept = tmp_path / "home" / "settings.json"
    assert kept.stat().st_mode & 0o077 == 0
    assert str(tmp_path) not in kept.read_text()
    kept.write_text("{")
    with Workspace.open(settings) as space:
        assert actions(space) == ["audit.begin", "settings.change"]


# ------------------------------------------------------------------------------------------ plaintext


def declared(host: str) -> None:
    require_tls(f"http://{host}/", plaintext=True, name="the source", setting="plaintext=True")


def test_a_place_without_tls_is_noted_once(tmp_path: Path):
    """By its name and host, before it is reached; what stays on this machine is not."""
    with Workspace.open(Settings(home=tmp_path / "home", key_file=tmp_path / "key", egress="off")) as space:
        for host in ("a.example", "127.0.0.1", "a.example", "b.example"):
            declared(host)
        entries = space.ledger.audit.newest(10, "network.plaintext")
    assert [each.event.on for each in entries] == [
        {"place": "the source", "host": "a.example"},
        {"place": "the source", "host": "b.example"},
    ]
    declared("c.example")  # no workspace listens any more


def test_what_cannot_be_noted_is_not_reached_without_tls(tmp_path: Path):
    """The ledger's error comes instead of the connection."""

    with Workspace.open(Settings(home=tmp_path / "home", key_file=tmp_path / "key", egress="off")) as space:
        declared("a.example")
        assert actions(space)[-1] == "network.plaintext"
        with unwritable(tmp_path / "home"), pytest.raises(AuditBroken):
            declared("b.example")


# ---------------------------------------------------------------------------------------- staged rows


@dataclasses.dataclass
class Sees:
    """Permissions that let staging be shown, and of the table what they are told to."""

    shown: TableView | None

    def decide(self, caller: Caller, action: str, resource: Resource) -> Decision:
        return Decision(action == "staging.show")

    def view(self, caller: Caller, table: str, columns: Sequence[Column]) -> TableView | None:
        self.asked = (table, columns)
        return self.shown


def looked(arena: Arena, sees: Sees, **how: Any) -> Any:
    """Rows of the held run, as somebody with these permissions sees them."""
    with opened(arena) as space, acting(NOBODY):
        return show_staged(2, dataclasses.replace(space, access=Access(sees, space.ledger.audit)), **how)


def test_staged_rows_are_shown_as_their_table_would_be(furnished: Arena):
    """Masked columns masked, refused ones left out, filtered rows left out, and Rowkeeper's own columns as they are."""
    furnished.ok("query", "SELECT 1")  # the engine is up, by a process that may start it
    sees = Sees(TableView("default.gated", {"id": Sight.CLEAR, "ref": Sight.MASKED}, row_filter="id = 2"))
    found = looked(furnished, sees)
    rows = [dict(zip((name for name, _ in found.columns), row, strict=True)) for row in found.rows]
    assert [(row["id"], row["ref"]) for row in rows] == [(2, "[classified]")]
    assert sees.asked == (
        "default.gated",
        [Column("id"), Column("ref", frozenset({"pii.ref"}), protected=True)],
    )
    refused = looked(furnished, Sees(TableView("default.gated", {"id": Sight.CLEAR, "ref": Sight.REFUSED})))
    assert "ref" not in dict(refused.columns)


def test_without_the_table_there_are_figures_and_no_rows(furnished: Arena):
    """Account, gates and samples are staging's; the rows are the table's."""
    found = looked(furnished, Sees(None))
    assert (found.staged.account.committed, found.columns, found.rows) == (2, (), ())


def test_typed_sql_on_staged_rows_is_the_owners_alone(furnished: Arena):
    """It could read anything: whoever sees all of the table may not either."""
    everything = TableView("default.gated", {"id": Sight.CLEAR, "ref": Sight.CLEAR})
    with pytest.raises(AccessDenied, match=r"may not data\.query table default\.gated"):
        looked(furnished, Sees(everything), sql="SELECT * FROM flights")


# ---------------------------------------------------------------------------------------- whose decision


def test_what_is_taken_out_is_signed_by_who_asked(furnished: Arena, tmp_path: Path):
    """Beside the run as in the trail it is the caller, not the user of the process that serves them."""
    with opened(furnished) as space:
        allowed = dataclasses.replace(space, access=Access(Anything(), space.ledger.audit))
        with acting(NOBODY):
            export_rejected(1, allowed, tmp_path / "out.ndjson")
        assert space.ledger.exports(1)[-1].who == "user:nobody"
        assert space.ledger.audit.newest(1, "quarantine.export")[0].name == "user:nobody"


class Anything:
    """Permissions that refuse nothing."""

    def decide(self, caller: Caller, action: str, resource: Resource) -> Decision:
        return Decision(True)

    def view(self, caller: Caller, table: str, columns: Sequence[Column]) -> TableView | None:
        return None
