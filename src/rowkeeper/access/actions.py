"""Every action that permissions know, and on what kind of thing it is done.

The names are those of the audit trail: `room.verb`. Whoever adds a function that changes or shows something adds its
action here: permissions refuse one that they do not know.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from rowkeeper.access.resource import ResourceKind


@dataclasses.dataclass(frozen=True, slots=True)
class Action:
    """Something that can be done.

    Attributes:
        told: what it lets somebody do, in a few words.
        on: the kind of thing.
    """

    name: str
    on: ResourceKind
    told: str


_HERE, _PIPELINE, _RUN = ResourceKind.INSTALLATION, ResourceKind.PIPELINE, ResourceKind.RUN
_TABLE, _COLUMN, _KEY = ResourceKind.TABLE, ResourceKind.COLUMN, ResourceKind.KEY
_USER, _ROLE = ResourceKind.USER, ResourceKind.ROLE

ACTIONS: Mapping[str, Action] = {
    action.name: action
    for action in (
        Action("health.show", _HERE, "see the details of health, breakers and leases"),
        Action("metrics.show", _HERE, "read the metrics"),
        Action("settings.show", _HERE, "see what is configured, without secrets"),
        Action("pipeline.show", _PIPELINE, "see a pipeline, its schedule and how its contract is checked"),
        Action("pipeline.run", _PIPELINE, "run it"),
        Action("pipeline.verify", _PIPELINE, "compare its table with the books"),
        Action("freshness.change", _PIPELINE, "retire keys of its table that are expected no more"),
        Action("profile.show", _PIPELINE, "see the profile of its last load"),
        Action("schedule.change", _PIPELINE, "pause and resume its schedule, and have slots filled afterwards"),
        Action("run.show", _RUN, "see a run: account, gates, timings, failures"),
        Action("run.resume", _RUN, "go on with a run that was interrupted, or give it up"),
        Action("run.publish", _RUN, "publish a held run against its gates"),
        Action("run.rollback", _RUN, "take a published run back"),
        Action("staging.show", _RUN, "see what a run has staged: figures, and samples as quarantine has them"),
        Action("staging.discard", _RUN, "drop what a run has staged"),
        Action("spool.drain", _PIPELINE, "drain what waits for its destination"),
        Action("quarantine.show", _RUN, "see rejected rows, their classified values masked"),
        Action("quarantine.export", _RUN, "write rejected rows to a file, their classified values masked"),
        Action("quarantine.replay", _RUN, "load rejected rows anew, also mended ones"),
        Action("quarantine.reveal", _RUN, "see rejected rows in the clear"),
        Action("data.query", _TABLE, "read the table, as far as its columns are shown"),
        Action("column.clear", _COLUMN, "see the column as the table has it"),
        Action("column.masked", _COLUMN, "see that the column is there, its values masked"),
        Action("data.reveal", _COLUMN, "turn protected values back"),
        Action("key.list", _KEY, "see which keys there are, not the keys"),
        Action("key.change", _KEY, "rotate, rewrap or revoke keys"),
        Action("user.list", _USER, "see accounts, and what roles and grants each has"),
        Action("user.change", _USER, "change accounts, roles, grants, passwords and tokens of others"),
        Action("role.list", _ROLE, "see roles, and what each may do"),
        Action("role.change", _ROLE, "make, change and remove roles that one does not have"),
        Action("certificate.list", _HERE, "see the private authority and its certificates"),
        Action("certificate.change", _HERE, "found the private authority; issue, renew and revoke certificates"),
        Action("worker.run", _HERE, "have schedules served, dead runs seen to and the spool drained"),
        Action("maintain.run", _HERE, "have what is no longer needed removed, as settings say, and tables merged"),
        Action("audit.list", _HERE, "read the audit trail, verify and prove it"),
        Action("audit.export", _HERE, "take the audit trail elsewhere"),
        Action("audit.accept", _HERE, "take an audit trail as it is, although a checkpoint outside differs"),
        Action("backup.list", _HERE, "see which backups there are"),
        Action("backup.create", _HERE, "make backups"),
        Action("backup.verify", _HERE, "read backups and compare them with their manifests"),
        Action("backup.prune", _HERE, "remove backups that are kept no longer"),
        Action("event.list", _HERE, "read security events"),
        Action("backup.restore", _HERE, "put back the state of a backup"),
        Action("backup.drill", _HERE, "try whether a backup can be restored"),
        Action("alert.list", _HERE, "see alerts, silences, rules and routes, without their secrets"),
        Action("alert.change", _HERE, "acknowledge and silence alerts, have rules looked at and notices sent"),
    )
}
