"""Which entries the audit trail gets from what an action lets somebody do; that of a refusal is named as the action."""

from __future__ import annotations

from collections.abc import Mapping

ENTRIES: Mapping[str, tuple[str, ...]] = {
    "pipeline.run": (
        "run.start",
        "run.start_over",
        "run.resume",
        "run.unchanged",
        "run.hold",
        "run.spool",
        "run.publish",
        "run.interrupt",
        "run.fail",
    ),
    "pipeline.verify": ("pipeline.verify",),
    "freshness.change": ("freshness.retire",),
    "profile.show": ("profile.show",),
    "schedule.change": ("schedule.pause", "schedule.resume", "schedule.backfill"),
    "run.show": ("run.show", "run.bundle"),
    "run.resume": ("run.resume", "run.publish", "run.fail"),
    "run.publish": ("run.override", "run.publish"),
    "run.rollback": ("run.rollback",),
    "staging.show": ("staging.show",),
    "staging.discard": ("run.fail",),
    "spool.drain": ("run.drain", "run.publish"),
    "quarantine.show": ("quarantine.show",),
    "quarantine.export": ("quarantine.export",),
    "quarantine.replay": ("run.start", "run.publish"),
    "quarantine.reveal": ("quarantine.reveal",),
    "data.query": ("data.query",),
    "data.reveal": ("data.reveal",),
    "key.change": ("key.rotate", "key.rewrap", "key.revoke"),
    "certificate.change": ("certificate.found", "certificate.issue", "certificate.renew", "certificate.revoke"),
    "user.change": (
        "user.add",
        "user.give",
        "user.take",
        "user.enable",
        "user.disable",
        "user.password",
        "user.identify",
        "user.unidentify",
        "user.certify",
        "user.uncertify",
        "token.make",
        "token.revoke",
        "totp.enrol",
        "totp.confirm",
        "totp.remove",
        "grant.add",
        "grant.remove",
    ),
    "role.change": ("role.add", "role.remove", "role.filter", "role.unfilter", "grant.add", "grant.remove"),
    "maintain.run": ("maintain.run", "quarantine.prune", "history.prune"),
    "backup.prune": ("backup.prune",),
    "alert.change": ("alert.ack", "alert.silence", "alert.unsilence", "alert.test"),
    "audit.export": ("audit.export",),
    "backup.restore": ("backup.restore", "run.restore"),
    "backup.drill": ("backup.drill",),
    "backup.create": ("backup.create",),
    "backup.verify": ("backup.verify",),
    "audit.accept": ("audit.accept",),
}

OWN = frozenset(
    {
        "audit.begin",
        "network.plaintext",
        "settings.change",
        "server.start",
        "job.request",
        "job.cancel",
        "session.begin",
        "token.use",
        "user.lock",
        "user.offer",
    }
)
"""Of no action: what Rowkeeper notes of itself and of how it was started, requests, and signing in."""
