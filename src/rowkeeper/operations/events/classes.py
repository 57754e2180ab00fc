"""Which class of OCSF an action of the audit trail is, and which activity of that class.

The classes and their activities are those of schema 1.5.0 (https://schema.ocsf.io/1.5.0). Whoever adds an action need
not come here, unless it is a login, a change of an account, or reads or writes rows: any other is a use of the API.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

OTHER = 99


class EventClass(enum.IntEnum):
    """Classes of OCSF, by their numbers; the category is the number of thousands."""

    DETECTION_FINDING = 2004
    ACCOUNT_CHANGE = 3001
    AUTHENTICATION = 3002
    API_ACTIVITY = 6003
    DATASTORE_ACTIVITY = 6005

    @property
    def word(self) -> str:
        """Its name in OCSF: `authentication`."""
        return self.name.lower()

    @property
    def category(self) -> int:
        """The number of its category."""
        return self.value // 1_000

    @property
    def actions(self) -> tuple[str, ...]:
        """The actions of the trail that are of this class; none if it is what all others are, or no action is."""
        return tuple(ACTIVITIES.get(self, ()))


CLASSES: Mapping[str, EventClass] = {each.word: each for each in EventClass}
"""By their names in OCSF."""

_LOGON, _LOGOFF = 1, 2
ACTIVITIES: Mapping[EventClass, Mapping[str, int]] = {
    EventClass.AUTHENTICATION: {"session.begin": _LOGON, "session.end": _LOGOFF, "token.use": _LOGON},
    EventClass.ACCOUNT_CHANGE: {
        "user.add": 1,
        "user.enable": 2,
        "user.password": 3,
        "user.disable": 5,
        "user.remove": 6,
        "user.give": 7,  # a role: OCSF has "attach policy"
        "user.take": 8,
        "user.lock": 9,
        "user.unlock": 12,
        "user.offer": OTHER,
        "user.first": 1,
        "user.certify": OTHER,
        "user.uncertify": OTHER,
        "user.identify": OTHER,
        "user.unidentify": OTHER,
        "totp.enrol": OTHER,
        "totp.confirm": 10,
        "totp.remove": 11,
        "token.make": OTHER,
        "token.revoke": OTHER,
    },
    EventClass.DATASTORE_ACTIVITY: {
        "data.query": 4,
        "data.reveal": 10,
        "quarantine.show": 1,
        "quarantine.export": 1,
        "quarantine.reveal": 10,
        "profile.show": 1,
        "staging.show": 1,
        "staging.discard": 7,
        "run.publish": 5,
        "run.rollback": 2,
        "run.restore": 2,
    },
}

_CREATE, _READ, _UPDATE, _DELETE = 1, 2, 3, 4
VERBS: Mapping[str, int] = {
    **dict.fromkeys(("add", "begin", "create", "make", "start"), _CREATE),
    **dict.fromkeys(("bundle", "drill", "export", "list", "show", "verify"), _READ),
    **dict.fromkeys(
        ("accept", "change", "filter", "give", "override", "restore", "resume", "rewrap", "rotate"), _UPDATE
    ),
    **dict.fromkeys(("discard", "prune", "remove", "revoke", "take", "unfilter"), _DELETE),
}


def class_of(action: str) -> tuple[EventClass, int]:
    """The class of an action, and its activity in that class."""
    for found, activities in ACTIVITIES.items():
        if action in activities:
            return found, activities[action]
    return EventClass.API_ACTIVITY, VERBS.get(action.rpartition(".")[2], OTHER)
