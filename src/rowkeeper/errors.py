"""What can go wrong, drawn whole. Each error has a stable code; `rowkeeper errors CODE` explains it.

    FrameworkError                  RK-0000  the base: what happened, to what, and what to do next
    ├── ConfigurationError          RK-1000  a setting, a pipeline file or a declaration is wrong
    │   ├── SettingsError           RK-1001  a setting is wrong
    │   ├── UnknownRun              RK-1002  there is no run of this number
    │   ├── UnknownSchedule         RK-7071  there is no schedule of this name
    │   ├── BackfillUnfit           RK-7072  this range of slots cannot be filled
    │   ├── PipelineFileError       RK-1101  the pipeline file cannot be used
    │   ├── DeclarationError        RK-1102  an argument of a pipeline, source or destination is wrong
    │   ├── AlertsUnusable          RK-7055  the alerts file cannot be read or understood
    │   │   └── RouteUnsupported    RK-7056  a route leads to what Rowkeeper does not send to
    │   ├── UnknownAlert            RK-7057  there is no such alert, silence or route
    │   ├── SilenceUnfit            RK-7058  a silence cannot be set as it was asked for
    │   ├── ContractError           RK-1201  the contract cannot be turned into columns
    │   ├── MetricsUnwritten        RK-7050  a file of metrics, or of rules for them, cannot be written
    │   ├── UnknownMetric           RK-7060  no metric has such a word in its name
    │   └── LayoutError             RK-1301  an existing table has another layout than the contract
    ├── PipelineError               RK-2000  a run could not go on
    │   ├── RunInterrupted          RK-2001  the person at the keyboard stopped the run
    │   ├── RunUnfit                RK-2002  the run is not in a state for what was asked
    │   ├── SpoolBlocked            RK-2003  an older run in the spool comes first, and cannot be drained
    │   ├── SlotAnswered            RK-7070  the slot was answered by another run
    │   ├── BackfillStopped         RK-7073  a slot of a backfill could not be answered
    │   ├── MendedUnfit             RK-2004  a file of mended rows does not fit the quarantine
    │   ├── BrokerUnavailable       RK-2160  a broker did not answer, however often it was asked
    │   ├── BrokerUnauthorised      RK-2161  a broker does not let us
    │   ├── BrokerRefused           RK-2162  a broker refuses what it was asked
    │   ├── SourceError             RK-2100  what was to be read cannot be read
    │   │   ├── SourceMissing       RK-2101  nothing is there
    │   │   ├── SourceDamaged       RK-2102  it is truncated, damaged, or not what it says it is
    │   │   ├── SourceChanged       RK-2103  it changed since it was loaded, or while it was read
    │   │   ├── ColumnsDiffer       RK-2104  its columns are not those of the contract
    │   │   ├── ApiUnavailable      RK-2110  an API did not answer, however often it was asked
    │   │   ├── ApiRefused          RK-2111  an API refuses what it was asked
    │   │   ├── ApiUnauthorised     RK-2112  an API does not take our credentials
    │   │   ├── AnswerUnreadable    RK-2113  what an API answered is not JSON
    │   │   ├── AnswerTooLarge      RK-2114  what an API answered is larger than it may be
    │   │   ├── AnswerIsError       RK-2115  an API said that all is well, with an error inside
    │   │   ├── RecordsMissing      RK-2116  an answer has no records where they were declared to be
    │   │   ├── PagesEndless        RK-2117  the pages of an API go round in a circle, or do not end
    │   │   ├── PagesChanged        RK-2118  the pages of an API changed while they were read
    │   │   ├── CursorWentBack      RK-2119  an API gives rows from before what it was asked for
    │   │   ├── SourceDown          RK-2120  a database that is read does not answer
    │   │   ├── LoginRefused        RK-2121  a database does not let us in
    │   │   ├── TableMissing        RK-2122  a table or a column that is to be read is not there
    │   │   ├── RightsMissing       RK-2123  a database does not let us read a table
    │   │   ├── StatementRefused    RK-2124  a database does not understand, or cannot do, what it was asked
    │   │   ├── TableChanged        RK-2125  a table is another than it was before the run stopped
    │   │   ├── CursorUnfit         RK-2126  a cursor column cannot tell what is new
    │   │   ├── ColumnUnreadable    RK-2127  the values of a column have no form in which they could be read exactly
    │   │   ├── MessagesLost        RK-2163  a stream no longer has messages that come next
    │   │   ├── StreamRemade        RK-2164  a stream was made anew, or went back
    │   │   └── StreamUnfit         RK-2165  a stream cannot be read as it is declared
    │   ├── StoreError              RK-2140  a place with files refused, or failed
    │   │   ├── StoreUnavailable    RK-2141  it did not answer, however often it was asked
    │   │   ├── StoreUnauthorised   RK-2142  it does not take our credentials
    │   │   ├── StoreForbidden      RK-2143  it knows us, and does not let us do this
    │   │   ├── BucketMissing       RK-2144  there is no such bucket
    │   │   ├── ObjectMissing       RK-2145  there is no such file
    │   │   ├── ObjectChanged       RK-2146  a file is another than it was
    │   │   ├── ObjectExists        RK-2147  there is a file already where none may be
    │   │   └── StoreUnfit          RK-2148  it cannot do what was asked, or is somewhere else
    │   ├── TransformError          RK-2201  the pipeline's own code failed
    │   └── GateError               RK-2202  a quality gate refused what is staged
    ├── ValidationError             RK-2301  rows that a person asked to be good are not
    ├── DatabaseError               RK-3000  the engine, a destination or the ledger refused
    │   ├── EngineDied              RK-3001  the embedded ClickHouse went away in mid-work
    │   │   └── ServerAway          RK-3110  a ClickHouse server went away in mid-work
    │   ├── EngineDown              RK-3002  the embedded ClickHouse does not start
    │   │   └── ServerDown          RK-3111  a ClickHouse server cannot be reached
    │   ├── QueryError              RK-3003  SQL that somebody typed was refused
    │   ├── EngineMemory            RK-3004  a statement needed more memory than the engine may take
    │   │   └── ServerMemory        RK-3112  a statement needed more memory than a ClickHouse server gives it
    │   ├── ServerUnauthorised      RK-3113  a ClickHouse server does not take our credentials, or not for this
    │   ├── ReplicasDiffer          RK-3114  the replicas of a ClickHouse server do not hold the same
    │   ├── DiskFull                RK-3101  there was no room left to write, or the disk failed
    │   ├── DestinationLacks        RK-3120  a destination does not have what was asked of it
    │   ├── DestinationUnreachable  RK-3121  a destination cannot be reached, or has trouble of its own
    │   ├── DestinationRefused      RK-3122  a destination does not take what it was given
    │   ├── RowsUnfit               RK-3140  rows have values that the destination's columns cannot hold
    │   ├── DeliveryUnread          RK-3141  an API does not say what became of the rows that it was sent
    │   ├── DeliveryLost            RK-3142  what was sent of a run, and what was not, is not known here
    │   ├── MessageTooLarge         RK-3160  a row makes a message that is larger than it may be
    │   ├── StreamUnsuited          RK-3161  a stream is not there, or cannot be written to as is promised
    │   ├── RunTooLarge             RK-3162  a run does not fit into one transaction of a broker
    │   ├── StateError              RK-3201  the state folder cannot be used as it is
    │   │   └── NewerState          RK-3202  a newer version of Rowkeeper made it
    │   ├── LedgerBusy              RK-3301  another process kept the ledger locked
    │   ├── LedgerUnreachable       RK-5009  the ledger's server does not answer
    │   ├── LedgerLost              RK-5010  the connection to the ledger's server broke in the midst of a step
    │   ├── CommitUnknown           RK-5011  it broke at a commit, and what came of that cannot be asked
    │   ├── LedgerReadOnly          RK-5012  the ledger's server takes no writes
    │   ├── LedgerCrowded           RK-5013  the ledger's server takes no more connections
    │   └── LedgerForbids           RK-5014  the ledger's server does not let its user do what is needed
    ├── LeaseError                  RK-3400  somebody else holds, or took over, the destination
    │   ├── LeaseHeld               RK-3401  another run holds it
    │   └── LeaseLost               RK-3402  another process took it over
    ├── RetryError                  RK-4001  trying again did not help
    │   ├── CircuitOpenError        RK-4002  the host failed so often that it is left alone for a while
    │   ├── DeadlineExceeded        RK-4003  the time that the work was given is over
    │   └── AmbiguousError          RK-4004  whether the call took effect is not known
    ├── NoticeNotDelivered          RK-7059  a notice of alerts could not be brought to its receiver
    ├── IntegrityError              RK-5000  what is stored is not what was recorded
    │   ├── StagingDamaged          RK-5001  what was staged is not on disk as it was sent
    │   ├── BooksDiffer             RK-5002  ledger and destination do not say the same
    │   ├── ForeignWriter           RK-5003  somebody else wrote to the table
    │   ├── SealBroken              RK-5004  a sealed file was changed, or sealed with another key
    │   ├── AuditBroken             RK-5005  the audit trail is not what was signed
    │   │   └── WitnessDiffers      RK-5007  a witness has seen another audit trail, or a longer one
    │   ├── AuditEntryTooLong       RK-5006  what is to be done does not fit into an audit entry
    │   └── CheckpointNotSent       RK-5008  a checkpoint of the audit trail cannot be brought to where it is kept
    ├── BackupError                 RK-7001  a backup cannot be made, or used
    │   ├── BackupsNotSetUp         RK-7002  it is not set where backups are
    │   ├── BackupMissing           RK-7003  there is no such backup, or one is missing in its chain
    │   ├── BackupForeign           RK-7004  a backup, or a place with backups, is another installation's
    │   ├── BackupUnsuited          RK-7005  what there is cannot be backed up by Rowkeeper
    │   ├── BackupDamaged           RK-7006  a backup is not what was written
    │   ├── LedgerUncarried         RK-7027  a ledger holds what the other kind of database does not take
    │   ├── TablesUnplaced          RK-7009  tables on a server are not in their places yet, all else is restored
    │   ├── TableMoved              RK-7010  a table on a server was changed while it was backed up
    │   └── RestoreRefused          RK-7020  a backup is not restored, and nothing that was there is touched
    │       ├── TableThere          RK-7008  there is a table on a server that would be replaced
    │       ├── StateThere          RK-7021  there is a state folder with data in it
    │       ├── StateInUse          RK-7022  somebody uses the state folder
    │       ├── PointUnknown        RK-7023  no backup that is there holds the state of this run or time
    │       ├── RestoreUnsound      RK-7024  what was restored is not what the books say
    │       ├── RestorePlaceUnfit   RK-7025  the folder cannot be restored into
    │       ├── LedgerPlaceUnfit    RK-7026  the database cannot be restored into
    │       └── RestoreUnfinished   RK-7028  a restore died between its two steps, and cannot be finished here
    ├── SecurityError               RK-6000  a key, a permission or a seal is wrong
    │   ├── KeyUnusable             RK-6001  the key cannot be made, had, read or understood
    │   │   └── WeakKey             RK-6013  the key is one that others can guess or know
    │   ├── WrongKey                RK-6002  the key is not the one of this state folder
    │   ├── KeysetsDamaged          RK-6020  the keysets are missing, were changed, or are another folder's
    │   ├── KeyRevoked              RK-6021  the key was revoked
    │   ├── KeyInUse                RK-6022  the key cannot be revoked: something is still sealed with it
    │   ├── SecretLiteral           RK-6010  a secret stands where a reference to one belongs
    │   ├── SecretUnavailable       RK-6011  a secret reference leads to nothing
    │   │   └── VaultUnreachable    RK-6012  the vault is down or sealed
    │   ├── TLSError                RK-6040  a secure connection could not be made
    │   │   ├── CertificateRefused  RK-6041  the other side's certificate is not to be trusted
    │   │   ├── PinMismatch         RK-6042  the other side's key is none of those that are pinned
    │   │   ├── ClientCertificateRefused
    │   │   │                       RK-6043  the other side wants another client certificate, or one at all
    │   │   ├── ProtocolRefused     RK-6044  the other side speaks no TLS that is still safe
    │   │   ├── CertificateUnusable RK-6045  a certificate, key, CA bundle or revocation list of ours cannot be used
    │   │   ├── PlaintextRefused    RK-6046  another machine would be reached without TLS
    │   │   └── AuthorityError      RK-6047  the private certificate authority cannot do what was asked
    │   ├── ProtectionMissing       RK-6030  a classified column has no protection, and the policy asks for one
    │   ├── PolicyUnusable          RK-6031  the policy file cannot be read or understood
    │   ├── ProtectionChanged       RK-6032  the table's column was protected in another way
    │   ├── RevealIrreversible      RK-6033  there is no way back from this protection
    │   ├── RevealFailed            RK-6034  a value is no ciphertext of its column
    │   ├── RevealRefused           RK-6035  somebody may not see these values
    │   ├── EventsUnwritten         RK-6100  security events cannot be written to where they are to go
    │   ├── AccessDenied            RK-6070  somebody may not do this
    │   ├── UnknownUser             RK-6071  there is no account of this name
    │   ├── UserExists              RK-6072  there is an account of this name already
    │   ├── AuthenticationRequired  RK-6080  nobody has signed in
    │   ├── AuthenticationFailed    RK-6081  what was shown of who asks is not accepted
    │   │   └── ProviderRefused     RK-6085  the identity provider's answer is not accepted
    │   ├── SecondFactorRequired    RK-6082  the password was right, and a code is wanted too
    │   ├── PasswordUnfit           RK-6083  the password is too easy to guess
    │   ├── TokenUnfit              RK-6084  an API token cannot be made as it was asked for
    │   ├── FirstUserRefused        RK-6086  there is a first user, or the token is not the one that was printed
    │   ├── CsrfRefused             RK-6087  a request with a session's cookie came from elsewhere
    │   ├── ProviderUnusable        RK-6088  the identity provider cannot be used
    │   ├── CredentialUnfit         RK-6089  a second factor or certificate cannot be set up as it was asked for
    │   ├── RequestRefused          RK-6090  the server does not take a request as it is
    │   │   ├── RateExceeded        RK-6091  more requests than somebody may send
    │   │   └── ServerBusy          RK-6092  the server has as much to do as it may
    │   ├── UnknownJob              RK-6093  there is no job of this id that the caller may see
    │   ├── ListeningRefused        RK-6094  the server may not listen as it was told to
    │   ├── AccessPolicyInvalid     RK-6073  a policy that was written by hand cannot be used
    │   ├── UnknownRole             RK-6074  there is no role of this name
    │   ├── RoleExists              RK-6075  there is a role of this name already
    │   ├── UnknownGrant            RK-6076  there is no grant of this number
    │   ├── GrantInvalid            RK-6077  what is to be granted makes no sense
    │   ├── QueryRefused            RK-6095  SQL has something in it that cannot be shown to be safe
    │   ├── TableRefused            RK-6096  SQL names a table that its reader may not see
    │   ├── ColumnRefused           RK-6097  SQL names a column that its reader may not see
    │   ├── QueryDiffers            RK-6098  the engine reads something else in SQL than was permitted
    │   ├── QueryFailed             RK-6099  the engine could not carry out governed SQL
    │   ├── EgressRefused           RK-6050  a connection to a place that nobody declared
    │   │   ├── AddressForbidden    RK-6051  a declared host has an address that may not be reached
    │   │   ├── RedirectRefused     RK-6052  a server pointed to another host
    │   │   └── ProxyRefused        RK-6053  the proxy refused, or did not let us in
    │   ├── NameUnresolved          RK-6060  a declared name leads to no address
    │   ├── VpnMisconfigured        RK-6061  the configuration of a VPN cannot be used
    │   └── VpnRefused              RK-6062  the way by the demanded interface is not to be had
    │       ├── VpnDown             RK-6063  the interface is not there, or down
    │       ├── VpnBypassed         RK-6064  the route leaves by another interface
    │       ├── VpnStale            RK-6065  the peer's handshake is too old
    │       └── VpnUnseen           RK-6066  the state of the interface cannot be seen
    └── UnknownError                RK-9001  a fault of Rowkeeper itself

No message holds a secret or a classified value: messages are put together from names, numbers and
places, never from the content of a row.
"""

from __future__ import annotations

import difflib
import enum
import inspect
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Self


class Category(enum.StrEnum):
    """The kind of fault, for logs and for whoever is on call."""

    CONFIGURATION = "configuration"
    NETWORK = "network"
    DATABASE = "database"
    PROCESSING = "processing"
    SECURITY = "security"
    INTEGRITY = "integrity"


class FrameworkError(Exception):
    """The base of everything that Rowkeeper raises on purpose.

    Args:
        what: one sentence, lower case, without a full stop: what happened and to what.
        hint: what the person reading it should do next.
        context: small facts for logs (names, numbers, places); never values of rows.

    Attributes:
        code: stable over versions; searched for, alerted on, and explained by `rowkeeper errors CODE`.
        category: the kind of fault.
        retryable: whether giving the same command again may help, with nothing else changed.
        advice: what to do about errors of this code, beyond the hint of each.
        quotes: its sentence repeats what somebody else said, for whoever typed the command alone: logs leave it out.
    """

    code = "RK-0000"
    category: Category = Category.PROCESSING
    retryable: bool = False
    quotes: bool = False
    advice = "Read the sentence and its next step; --debug shows where it was raised."

    def __init__(self, what: str, *, hint: str = "", context: Mapping[str, object] | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.context: Mapping[str, object] = MappingProxyType(dict(context or {}))

    def __str__(self) -> str:
        return self.what

    def raised_about(self, names: Mapping[str, object]) -> None:
        """Adds to the context what was being worked on; what it says already stays."""
        self.context = MappingProxyType({**names, **self.context})

    def document(self) -> dict[str, object]:
        """The error as JSON values, for logs, the ledger and `--json`."""
        return {
            "type": type(self).__name__,
            "code": self.code,
            "category": self.category.value,
            "retryable": self.retryable,
            "what": self.what,
            "hint": self.hint,
        }

    @classmethod
    def explanation(cls) -> dict[str, object]:
        """What errors of this code mean, as JSON values: for `rowkeeper errors` and the documentation."""
        return {
            "code": cls.code,
            "name": cls.__name__,
            "category": cls.category.value,
            "retryable": cls.retryable,
            "meaning": inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0].replace("\n", " "),
            "advice": cls.advice,
        }


def all_errors(base: type[FrameworkError] = FrameworkError) -> Iterator[type[FrameworkError]]:
    """The base, then every error below it, those of other rooms included, each after the one above it."""
    yield base
    for narrower in base.__subclasses__():
        yield from all_errors(narrower)


def error_of(word: str) -> type[FrameworkError]:
    """The error of a code (`RK-2102`, or `2102`) or of a name.

    Raises ConfigurationError with the nearest ones.
    """
    known = {key: each for each in all_errors() for key in (each.code, each.__name__)}
    digits = word.upper().removeprefix("RK").lstrip("-")
    for key, error in known.items():
        if word.lower() == key.lower() or f"RK-{digits}" == key:
            return error
    near = difflib.get_close_matches(word, known, n=3, cutoff=0.6)
    raise ConfigurationError(
        f"there is no error {word}",
        hint=f"did you mean {' or '.join(near)}?" if near else "rowkeeper errors lists all of them",
    )


# ------------------------------------------------------------------------------------------ configuration


class ConfigurationError(FrameworkError):
    """A setting, a pipeline file or a declaration is wrong; nothing was started."""

    code = "RK-1000"
    category = Category.CONFIGURATION
    advice = "Correct what the sentence names and give the command again. Nothing was read or written."


class SettingsError(ConfigurationError):
    """A setting has a value that cannot be."""

    code = "RK-1001"
    advice = (
        "Settings come from ROWKEEPER_* in the environment, then from rowkeeper.toml in the working folder. The "
        "message names the setting, not its value. The reference lists each with its unit and default."
    )


class UnknownRun(ConfigurationError):  # noqa: N818 - reads as what happened
    """There is no run of this number in the ledger."""

    code = "RK-1002"
    advice = "`rowkeeper runs` lists the runs. Runs of another state folder (ROWKEEPER_HOME) are in another ledger."


class UnknownSchedule(ConfigurationError):  # noqa: N818 - reads as what happened
    """No worker was ever given a pipeline of this name with a schedule."""

    code = "RK-7071"
    advice = "rowkeeper schedule list shows those there are; rowkeeper worker FILE takes them down."


class BackfillUnfit(ConfigurationError):  # noqa: N818 - reads as what happened
    """A range of slots cannot be filled: the pipeline has no slots, or these are still to come."""

    code = "RK-7072"
    advice = "The sentence says why. rowkeeper schedule list FILE shows when pipelines are due."


class PipelineFileError(ConfigurationError):
    """The pipeline file is not there, cannot be imported, or declares no such pipeline."""

    code = "RK-1101"
    quotes = True  # what the user's own file raised
    advice = (
        "A pipeline file is plain Python that assigns rk.Pipeline(...) to a name. Run it with python FILE to see "
        "its own error, or let rowkeeper init SAMPLE write one to start from."
    )


class DeclarationError(ConfigurationError):
    """An argument of a pipeline, a source or a destination is wrong."""

    code = "RK-1102"
    advice = "The reference names each argument with what it takes. Nothing was read or written."


class ContractError(ConfigurationError):
    """The contract cannot be turned into columns."""

    code = "RK-1201"
    advice = (
        "Every field of the model needs one type that a column can have. The message names the field; rowkeeper "
        "explain FILE shows the column of each."
    )


class LayoutError(ConfigurationError):
    """An existing table has another layout than the contract and the destination ask for."""

    code = "RK-1301"
    advice = (
        "The message lists everything that differs. Load into a table of another name, or make contract and "
        "destination fit the table; only new optional columns are added by themselves."
    )


# --------------------------------------------------------------------------------------------- processing


class PipelineError(FrameworkError):
    """A run could not go on."""

    code = "RK-2000"
    advice = "Nothing was published. rowkeeper show RUN tells what the run had done."


class RunInterrupted(PipelineError):  # noqa: N818 - it is no fault, and reads as what it is
    """The run was stopped by a signal; what was staged is kept, the next run goes on from there."""

    code = "RK-2001"
    retryable = True
    advice = "Give the command again: it goes on at the last staged batch."


class RunUnfit(PipelineError):  # noqa: N818 - reads as what happened
    """The run is not in a state for what was asked of it."""

    code = "RK-2002"
    advice = (
        "Only the rejected rows of a published run can be replayed, and only a published run that is still in the "
        "table can be rolled back; only a run that its gates hold can be published with --override. rowkeeper show RUN "
        "says how it ended."
    )


class SpoolBlocked(PipelineError):  # noqa: N818 - reads as what happened
    """A run that waits in the spool comes first, and cannot be drained."""

    code = "RK-2003"
    advice = (
        "The sentence says why. Mend that, and rowkeeper spool drain, or the next run, goes on; a run that its gates "
        "hold can be published with --override. rowkeeper abandon RUN gives it up: its input can be loaded again."
    )


class SlotAnswered(PipelineError):  # noqa: N818 - reads as what happened
    """The slot of a schedule was answered by another run."""

    code = "RK-7070"
    advice = (
        "Nothing is to be done: each slot is answered once. A worker that was silent for longer than its lease finds "
        "what the next one did meanwhile."
    )


class BackfillStopped(PipelineError):  # noqa: N818 - reads as what happened
    """A slot of a backfill could not be answered; those after it were not begun."""

    code = "RK-7073"
    advice = "Mend what the slot's run failed by, and give the command again: it goes on with that slot."


class MendedUnfit(PipelineError):  # noqa: N818 - reads as what happened
    """A file of mended rows is not of the form of an export, or does not fit the quarantine of the run."""

    code = "RK-2004"
    advice = (
        "The message names the lines. Nothing was read or published. A mended file has lines that quarantine export "
        "RUN wrote, each with its _rk_row as it was and its row as it should be; a line that is taken out leaves "
        "its row in quarantine, and a row that was replayed before is not replayed again."
    )


class BrokerUnavailable(PipelineError):  # noqa: N818 - reads as what happened
    """A broker of messages did not answer, or broke off, however often it was asked."""

    code = "RK-2160"
    category = Category.NETWORK
    retryable = True
    advice = (
        "See whether the broker is up and can be reached from here. Run again: a run goes on at the last staged batch. "
        "resilience= says how often and how long it is tried."
    )


class BrokerUnauthorised(PipelineError):  # noqa: N818 - reads as what happened
    """A broker of messages does not take our credentials, or they do not permit what was asked."""

    code = "RK-2161"
    category = Category.SECURITY
    advice = (
        "See to what auth= refers to. Of Kafka its user has to describe and read the topic, and use the group; of NATS "
        "publish to $JS.API.> and subscribe to _INBOX.>; of Valkey use the commands of streams on that key."
    )


class BrokerRefused(PipelineError):  # noqa: N818 - reads as what happened
    """A broker of messages refuses what it was asked, and would again."""

    code = "RK-2162"
    advice = "The message names the broker's own kind of error; its log says more. Nothing was published."


class SourceError(PipelineError):
    """What was to be read cannot be read."""

    code = "RK-2100"
    advice = "See to the disk, the network and the permissions, then run again. Nothing was published."


class SourceMissing(SourceError):  # noqa: N818 - reads as what happened
    """Nothing is there where the source should be."""

    code = "RK-2101"
    advice = "Paths are relative to the folder of the pipeline file. The message names what lies there instead."


class SourceDamaged(SourceError):  # noqa: N818 - reads as what happened
    """The source is truncated, damaged, or not of the format or encoding that it is read as."""

    code = "RK-2102"
    advice = (
        "Fetch the file again, or say how it is to be read (format=, encoding=, delimiter=). Rows before the fault "
        "were not published either: a run is all or nothing."
    )


class SourceChanged(SourceError):  # noqa: N818 - reads as what happened
    """The source changed since it was loaded, or while it was being read."""

    code = "RK-2103"
    advice = (
        'on_change="reload" puts the new rows in the place of the former, "ignore" leaves those. A file that is '
        "still being written: let its writer finish under another name and rename it."
    )


class ColumnsDiffer(SourceError):  # noqa: N818 - reads as what happened
    """The columns of the source are not those of the contract."""

    code = "RK-2104"
    advice = (
        'A missing column must be mended at the source or be optional in the contract. For new ones, drift="ignore" '
        'drops them and drift="evolve" adds them to the table.'
    )


class ApiUnavailable(SourceError):  # noqa: N818 - reads as what happened
    """An API did not answer, or said that it cannot at present, however often it was asked."""

    code = "RK-2110"
    category = Category.NETWORK
    retryable = True
    advice = (
        "Run again when it is up: what was staged is kept, and the run goes on at the page where it stopped. "
        "resilience= says how often, and for how long, it is asked."
    )


class ApiRefused(SourceError):  # noqa: N818 - reads as what happened
    """An API refuses what it was asked, and would again: a status such as 400, 403 or 404."""

    code = "RK-2111"
    category = Category.NETWORK
    advice = "See whether the URL, the parameters and the permissions of the account are right; its answer is not told."


class ApiUnauthorised(SourceError):  # noqa: N818 - reads as what happened
    """An API does not take our credentials, renewed ones neither; or nobody gives us a token."""

    code = "RK-2112"
    category = Category.SECURITY
    advice = "See to the secret that the reference leads to, and to what its owner may do; then run again."


class AnswerUnreadable(SourceError):  # noqa: N818 - reads as what happened
    """What an API answered is not JSON: a page for people, a text that breaks off, another encoding."""

    code = "RK-2113"
    retryable = True
    advice = (
        "A login or a maintenance page comes as HTML: see whether the URL is that of the API, and the API is up. Then "
        "run again; it goes on at that page."
    )


class AnswerTooLarge(SourceError):  # noqa: N818 - reads as what happened
    """What an API answered, unpacked, is larger than a page may be."""

    code = "RK-2114"
    advice = "Ask for smaller pages, or allow larger ones: page_bytes_max=."


class AnswerIsError(SourceError):
    """An API answered with a status of success, and with an error in the body."""

    code = "RK-2115"
    retryable = True
    advice = (
        "The message names the member that says so, never what it says: ask the API by hand. Where that member is no "
        "error, name the one that is (error=), or none (error=None)."
    )


class RecordsMissing(SourceError):  # noqa: N818 - reads as what happened
    """An answer is JSON, but has no records where they were declared to be: the API changed, or the path is wrong."""

    code = "RK-2116"
    advice = "Compare records= with an answer. An empty list is no fault; a list that is not there is."


class PagesEndless(SourceError):  # noqa: N818 - reads as what happened
    """The pages of an API lead back to one that was read, are the same again and again, or are more than allowed."""

    code = "RK-2117"
    advice = (
        "Nothing was published. See whether the pagination is of the kind that was declared: an API that does not know "
        "a parameter gives its first page for ever. Where there are that many pages: pages_max=."
    )


class PagesChanged(SourceError):  # noqa: N818 - reads as what happened
    """The pages of an API changed while they were read, so that rows may be missing, or there twice."""

    code = "RK-2118"
    advice = (
        "Nothing was published; run again, and it starts over. Where it happens often, read by a cursor rather than by "
        "page numbers, or incrementally."
    )


class CursorWentBack(SourceError):  # noqa: N818 - reads as what happened
    """An API gives rows from before what it was asked for, or not in the order that was declared."""

    code = "RK-2119"
    advice = (
        "See whether the API knows the parameter, and in which steps: one that rounds to days needs a lookback of a "
        "day. Nothing was published."
    )


class MessagesLost(SourceError):  # noqa: N818 - reads as what happened
    """A stream no longer has messages that come next: they were removed before they were read."""

    code = "RK-2163"
    category = Category.INTEGRITY
    advice = (
        "The broker removed messages (retention, trimming, deletion) before a run had read them; it is said which. "
        'They cannot be read any more. If that is known and accepted, declare lost="skip": runs go on at the first one '
        "that is there, and say so. Let the broker keep messages for longer than it may take until a run comes by."
    )


class StreamRemade(SourceError):  # noqa: N818 - reads as what happened
    """A stream was deleted and made anew, or went back: what is there is not what follows the last load."""

    code = "RK-2164"
    category = Category.INTEGRITY
    advice = (
        "The positions that the ledger has are of the former stream. If the new one is to be read from its beginning, "
        "give the source another name=: it is then another stream, and what the former brought stays in the table."
    )


class StreamUnfit(SourceError):  # noqa: N818 - reads as what happened
    """A stream is not there, or cannot be read as it is declared."""

    code = "RK-2165"
    category = Category.CONFIGURATION
    advice = "Compare the URL with what the broker lists: the topic, the stream, the key; its type; its subjects."


class StoreError(PipelineError):
    """A place with files (a bucket, a folder, a server that gives files out) refused what was asked, or failed."""

    code = "RK-2140"
    category = Category.NETWORK
    advice = (
        "The message names the place and the file. Nothing was published. docs/sources-files.md says what a store has "
        "to be able to do, and what it is asked."
    )


class StoreUnavailable(StoreError):  # noqa: N818 - reads as what happened
    """A store did not answer, answered that it has too much to do, or broke off, however often it was asked."""

    code = "RK-2141"
    retryable = True
    advice = (
        "Run again when it is up: what was staged is kept, and the run goes on behind it. A store that says SlowDown "
        "is asked again more and more slowly; if it goes on saying it, let fewer pipelines run at a time."
    )


class StoreUnauthorised(StoreError):  # noqa: N818 - reads as what happened
    """A store does not know who we say we are, or does not believe it: a wrong, revoked or expired credential."""

    code = "RK-2142"
    category = Category.SECURITY
    advice = (
        "See to what the references in access= lead to: both halves of a key belong together, temporary ones come with "
        "a session token and run out. A clock that is wrong by minutes makes every signature wrong."
    )


class StoreForbidden(StoreError):  # noqa: N818 - reads as what happened
    """A store knows who we are and does not let us do this."""

    code = "RK-2143"
    category = Category.SECURITY
    advice = (
        "Reading needs the right to get objects, patterns need the right to list the bucket (s3:ListBucket) besides; "
        "writing needs those to put, to delete, and to abort multipart uploads. Where listing is not allowed, name the "
        "files one by one."
    )


class BucketMissing(StoreError):  # noqa: N818 - reads as what happened
    """There is no bucket or container of this name, at least not there."""

    code = "RK-2144"
    category = Category.CONFIGURATION
    advice = "See to the name, and to endpoint= and region= or account=: a bucket is at one place only."


class ObjectMissing(StoreError):  # noqa: N818 - reads as what happened
    """There is no file of this name in the store."""

    code = "RK-2145"
    category = Category.PROCESSING
    advice = "It was removed, or never there. If it was there a moment ago, run again."


class ObjectChanged(StoreError):  # noqa: N818 - reads as what happened
    """A file is another than it was when it was looked at first."""

    code = "RK-2146"
    category = Category.PROCESSING
    retryable = True
    advice = "Let its writer finish, and run again. Nothing of the one and of the other was mixed."


class ObjectExists(StoreError):  # noqa: N818 - reads as what happened
    """There is a file already where one was to be made only if there was none."""

    code = "RK-2147"
    category = Category.PROCESSING
    advice = "Somebody else was first. Run again: what is there is looked at."


class StoreUnfit(StoreError):  # noqa: N818 - reads as what happened
    """A store cannot do what was asked, does not speak its protocol, or is in another region."""

    code = "RK-2148"
    category = Category.CONFIGURATION
    advice = "Compare endpoint=, region= and account= with what the store's owner says of it."


class SourceDown(SourceError):  # noqa: N818 - reads as what happened
    """A database that is read does not answer, breaks off, or has no room for us, however often it was asked."""

    code = "RK-2120"
    category = Category.NETWORK
    retryable = True
    advice = (
        "Run again when it is up: what was staged is kept. The run reads the table anew from its beginning, and goes "
        "on where it stopped if those rows are as they were. resilience= says how often, and for how long, it is asked."
    )


class LoginRefused(SourceError):  # noqa: N818 - reads as what happened
    """A database does not let us in: another password is wanted, another user, or another way to say who we are."""

    code = "RK-2121"
    category = Category.SECURITY
    advice = "See to the secret that password= refers to, to the user in the URL, and to pg_hba.conf or its like."


class TableMissing(SourceError):  # noqa: N818 - reads as what happened
    """A table, a column or a database that is to be read is not there, or is not any more."""

    code = "RK-2122"
    advice = "See to its name, and to the schema that it is in. What was loaded of a table that is gone stays as it is."


class RightsMissing(SourceError):  # noqa: N818 - reads as what happened
    """A database does not let our user read a table."""

    code = "RK-2123"
    category = Category.SECURITY
    advice = "GRANT SELECT on the table, and USAGE on its schema, to the user in the URL; nothing more is needed."


class StatementRefused(SourceError):  # noqa: N818 - reads as what happened
    """A database does not understand what it was asked, or cannot do it."""

    code = "RK-2124"
    category = Category.DATABASE
    advice = (
        "The message has the database's own code for it, never its words: they may quote a row. Ask by hand for what "
        "query= says."
    )


class TableChanged(SourceError):  # noqa: N818 - reads as what happened
    """A table is another than it was when a part of it was staged, before the run stopped or the connection broke."""

    code = "RK-2125"
    advice = (
        "Nothing was published; run again, and it starts over, in one snapshot. Where a table never stands still, read "
        "it incrementally, or from a replica."
    )


class CursorUnfit(SourceError):  # noqa: N818 - reads as what happened
    """A cursor column cannot tell what is new: it is null in some row, or of a type that has no order."""

    code = "RK-2126"
    advice = (
        "Declare the column NOT NULL, or give a query that puts something in the place of null, such as "
        "coalesce(updated_at, created_at)."
    )


class ColumnUnreadable(SourceError):  # noqa: N818 - reads as what happened
    """The values of a column have no form in which they could be read exactly."""

    code = "RK-2127"
    advice = "Give a query that casts the column to text or JSON, or leave it out (columns=)."


class TransformError(PipelineError):
    """The pipeline's own code (transform, rule, gate) raised, or made something that the destination cannot hold."""

    code = "RK-2201"
    advice = (
        "Correct the function or expression in the pipeline file; --debug shows the lines that raised. The words of an "
        "exception that is not ours are withheld, as they may quote values: call it from Python to read them."
    )


class GateError(PipelineError):
    """A quality gate refused what a run has staged. Nothing was published, and the staged rows are kept."""

    code = "RK-2202"
    advice = (
        "rowkeeper staging RUN shows what each gate found, with rows. Mend the input, or the gates, and run again: as "
        "long as input and contract are the same, what is staged is judged again and not read again. rowkeeper publish "
        'RUN --override "REASON" publishes it after all, on the record; rowkeeper staging RUN --discard drops it.'
    )


class ValidationError(FrameworkError):
    """Rows that a person asked to be good are not."""

    code = "RK-2301"
    advice = "The message says which and why."


# ----------------------------------------------------------------------------------------------- database


class DatabaseError(FrameworkError):
    """The engine, a destination or the ledger refused."""

    code = "RK-3000"
    category = Category.DATABASE
    advice = "rowkeeper doctor looks at the installation; --debug shows what was called, and the database's own code."


class EngineDied(DatabaseError):  # noqa: N818 - reads as what happened
    """The embedded ClickHouse went away in mid-work. Whether the last statement took effect is unknown."""

    code = "RK-3001"
    retryable = True
    advice = (
        "Run again: what was staged is kept, and the next command asks the table what took effect. If it dies again "
        "and again, it may have run out of memory (ROWKEEPER_MEMORY_MAX); engine/host.log has its last "
        "words."
    )


class ServerAway(EngineDied):
    """A ClickHouse server went away in mid-work. Whether the last statement took effect is unknown."""

    code = "RK-3110"
    advice = (
        "Run again: what was staged is kept, and the next command asks the table what took effect, once it has made "
        "sure that nothing of the former one is still under way. Where there are several replicas it asks another one."
    )


class EngineDown(DatabaseError):  # noqa: N818 - reads as what happened
    """The embedded ClickHouse does not start."""

    code = "RK-3002"
    advice = (
        "rowkeeper doctor names what is in the way; engine/host.log in the state folder has the engine's last words."
    )


class ServerDown(EngineDown):
    """A ClickHouse server cannot be reached: nothing was said to it."""

    code = "RK-3111"
    retryable = True
    advice = (
        "See whether it is up, and whether the URL names the port of its HTTP interface (8123, or 8443 with TLS). With "
        'fallback="spool" a run keeps what it read until the server is back.'
    )


class QueryError(DatabaseError):
    """SQL that somebody typed was refused."""

    code = "RK-3003"
    quotes = True  # ClickHouse's own words about SQL that somebody typed
    advice = (
        "The sentence is ClickHouse's own. Typed SQL reads tables and nothing else: statements that write, and "
        "functions that reach files, sockets or Python are refused."
    )


class EngineMemory(DatabaseError):  # noqa: N818 - reads as what happened
    """A statement needed more memory than the embedded ClickHouse may take."""

    code = "RK-3004"
    advice = (
        "Give it more: ROWKEEPER_MEMORY_MAX is for all runs and the engine, and half the machine by default. "
        "Nothing is swapped to files instead: they would not be encrypted. An engine that is up keeps the limit it was "
        "started with, until it has been idle for ROWKEEPER_ENGINE_IDLE_SECONDS."
    )


class ServerMemory(EngineMemory):
    """A statement needed more memory than a ClickHouse server gives it, also in small pieces."""

    code = "RK-3112"
    advice = (
        "Inserts are tried again in halves, down to a thirty-second. Let the user have more (max_memory_usage), load "
        "less at a time (ROWKEEPER_INSERT_ROWS), or let queries use the server's disk "
        "(max_bytes_before_external_group_by)."
    )


class ServerUnauthorised(DatabaseError):  # noqa: N818 - reads as what happened
    """A ClickHouse server does not take our credentials, or does not permit its user what was asked."""

    code = "RK-3113"
    advice = "docs/clickhouse-server.md lists what the user needs to be granted. Nothing was changed by the statement."


class ReplicasDiffer(DatabaseError):  # noqa: N818 - reads as what happened
    """The replicas of a ClickHouse server do not hold the same, and did not come to within the time there was."""

    code = "RK-3114"
    retryable = True
    advice = (
        "See system.replicas and system.distributed_ddl_queue on the replica that lags, or take it out of the cluster. "
        "Nothing is published while replicas differ; run again when they have caught up."
    )


class DiskFull(DatabaseError):  # noqa: N818 - reads as what happened
    """There was no room left to write, or the disk did not take what was written."""

    code = "RK-3101"
    retryable = True
    advice = "Free some space, or see to the disk, and run again: it goes on where it stopped. Nothing was published."


class DestinationLacks(DatabaseError):  # noqa: N818 - reads as what happened
    """A destination does not have what was asked of it, such as a rollback. Nothing was changed."""

    code = "RK-3120"
    advice = (
        "Not every destination can take a run back, replace rows or be verified: the page of each says what it can, "
        "and rowkeeper explain FILE what it guarantees. Nothing was read or changed."
    )


class DestinationUnreachable(DatabaseError):  # noqa: N818 - reads as what happened
    """A destination cannot be reached, or cannot do its work for reasons of its own."""

    code = "RK-3121"
    retryable = True
    advice = (
        "See that it is up and can be reached from here, and run again: what was staged is kept, and the destination "
        'is asked what took effect. With fallback="spool" a run waits for it in sealed files.'
    )


class DestinationRefused(DatabaseError):  # noqa: N818 - reads as what happened
    """A destination does not take what it was given, and would not if it was given again."""

    code = "RK-3122"
    advice = "The message names the destination and what it said. Mend that, and run the pipeline again."


class RowsUnfit(DatabaseError):  # noqa: N818 - reads as what happened
    """Rows have values that the destination's columns cannot hold, and cannot be set aside one by one any more."""

    code = "RK-3140"
    advice = (
        "Rows that a contract accepted and the destination cannot hold go to quarantine. Where a transform made the "
        "value, no row of the source is to blame: let the transform drop it."
    )


class DeliveryUnread(DatabaseError):  # noqa: N818 - reads as what happened
    """An API does not say, in words that were declared, what became of the rows that it was sent."""

    code = "RK-3141"
    retryable = True
    advice = (
        "The run stays where it is, and nothing is taken for sent that may not be. Declare how the API tells of rows "
        "(results=), or see why it answers with a page for people, and run again: the batch is sent under the same key."
    )


class DeliveryLost(DatabaseError):  # noqa: N818 - reads as what happened
    """What was sent of a run to an API, and what was not, is not known here."""

    code = "RK-3142"
    advice = (
        "The journal of deliveries and the rows that wait lie in the state folder of the machine that the run was "
        "made on. Finish it there; or restore that folder."
    )


class MessageTooLarge(DatabaseError):  # noqa: N818 - reads as what happened
    """A row makes a message that is larger than the destination, or its broker, allows. Nothing was sent."""

    code = "RK-3160"
    advice = (
        "Let the contract refuse such rows (max_length=), so that they go to quarantine alone; or allow larger "
        "messages: message_bytes_max= of the destination, and the limits of the broker (Kafka: max.message.bytes of "
        "the topic; NATS: max_payload of the server, max_msg_size of the stream)."
    )


class StreamUnsuited(DatabaseError):  # noqa: N818 - reads as what happened
    """A stream is not there, or is made in a way in which it cannot be written to as the destination promises."""

    code = "RK-3161"
    category = Category.CONFIGURATION
    advice = (
        "The message says what is missing. Kafka: make the topic. NATS: the stream needs the subject that is published "
        "to, and a subject for the control record. Valkey: the key must be a stream. docs/destinations-stream.md says "
        "what each broker needs, and why."
    )


class RunTooLarge(DatabaseError):  # noqa: N818 - reads as what happened
    """A run did not fit into one transaction of a broker in the time that it gives to one. Nothing of it is seen."""

    code = "RK-3162"
    advice = "Load fewer or smaller files at a time. A run of Kafka is one transaction, of 15 minutes at most."


class StateError(DatabaseError):
    """The state folder cannot be used as it is: not writable, too open, or damaged."""

    code = "RK-3201"
    category = Category.CONFIGURATION
    advice = "The state folder (ROWKEEPER_HOME) must be writable, and closed to others (mode 0700)."


class NewerState(StateError):  # noqa: N818 - reads as what happened
    """A newer version of Rowkeeper made the state folder or its ledger."""

    code = "RK-3202"
    advice = "Install that version or a later one. Nothing was changed."


class LedgerBusy(DatabaseError):  # noqa: N818 - reads as what happened
    """Another process kept the ledger locked."""

    code = "RK-3301"
    retryable = True
    advice = (
        "Try again. A process that was stopped (SIGSTOP, a debugger) in the middle of a write keeps the lock until "
        "it goes on or ends."
    )


class LedgerUnreachable(DatabaseError):  # noqa: N818 - reads as what happened
    """The ledger's server does not answer: it is down, starting, or not where the URL leads."""

    code = "RK-5009"
    retryable = True
    advice = "See that the server is up (pg_isready) and that the URL leads to it. Nothing was changed."


class LedgerLost(DatabaseError):  # noqa: N818 - reads as what happened
    """The connection to the ledger's server broke in the midst of a step. Nothing of that step was written."""

    code = "RK-5010"
    retryable = True
    advice = (
        "Run again: what was staged is kept, and the next command goes on there. A server that was started anew, or a "
        "network that was cut, does that; so does the server itself to a process that was stopped in mid-step."
    )


class CommitUnknown(DatabaseError):  # noqa: N818 - reads as what happened
    """The connection to the ledger's server broke at a commit, and the server could not be asked what came of it."""

    code = "RK-5011"
    retryable = True
    advice = (
        "When the server is back, run again: the next command reads from the ledger whether the step was taken, and "
        "does nothing twice."
    )


class LedgerReadOnly(DatabaseError):  # noqa: N818 - reads as what happened
    """The ledger's server takes no writes: it is a standby, or its owner made it read-only."""

    code = "RK-5012"
    retryable = True
    advice = (
        "Promote the standby, or let the URL lead to the primary. With several hosts in it, "
        "target_session_attrs=read-write finds the primary by itself. Nothing was changed."
    )


class LedgerCrowded(DatabaseError):  # noqa: N818 - reads as what happened
    """The ledger's server has as many connections as it takes."""

    code = "RK-5013"
    retryable = True
    advice = (
        "A command takes three connections, a worker three more for each run of its own, a server up to twenty. Raise "
        "max_connections, or put PgBouncer in between (pool_mode = transaction). Nothing was changed."
    )


class LedgerForbids(DatabaseError):  # noqa: N818 - reads as what happened
    """The ledger's server does not know the user or the database, or does not give the user the rights needed."""

    code = "RK-5014"
    advice = (
        "The user needs a database, and a schema in it that is its own: CREATE DATABASE rowkeeper OWNER keeper. "
        "docs/ledger-postgresql.md lists the rights one by one."
    )


class LeaseError(FrameworkError):
    """Somebody else holds the destination, or took it over meanwhile."""

    code = "RK-3400"
    category = Category.DATABASE
    retryable = True
    advice = "One process at a time writes to a table. Run again when the other has ended."


class LeaseHeld(LeaseError):  # noqa: N818 - reads as what happened
    """Another run holds the destination."""

    code = "RK-3401"
    advice = "Wait until it has ended, or end it. A dead process is noticed by itself within ROWKEEPER_LEASE_SECONDS."


class LeaseLost(LeaseError):  # noqa: N818 - reads as what happened
    """Another process took the destination over, after this one had been silent too long."""

    code = "RK-3402"
    advice = (
        "This process did no harm: its fencing token is refused everywhere. A machine that sleeps or swaps, or a "
        "debugger, makes processes silent; ROWKEEPER_LEASE_SECONDS is how long that may last."
    )


# ------------------------------------------------------------------------------------------------ network


class RetryError(FrameworkError):
    """Trying again did not help; carries the last error as its cause."""

    code = "RK-4001"
    category = Category.NETWORK
    advice = "See to what the last error names, then run again."


class CircuitOpenError(RetryError):
    """The host failed, or was slow, so often that it is left alone for a while; the call was not made.

    Attributes:
        retry_after_seconds: until it lets a call through again.
    """

    code = "RK-4002"
    retryable = True
    advice = "See to the host, then run again: rowkeeper doctor lists the hosts that are left alone, and for how long."

    def __init__(self, what: str, *, retry_after_seconds: float, hint: str = "") -> None:
        super().__init__(what, hint=hint, context={"retry_after_seconds": round(retry_after_seconds, 3)})
        self.retry_after_seconds = retry_after_seconds


class DeadlineExceeded(RetryError):  # noqa: N818 - the field's own word
    """The time that the work was given is over."""

    code = "RK-4003"
    retryable = True
    advice = (
        "Run again: it goes on where it stopped. Allow more time (deadline=, --deadline, deadline_seconds), or see to "
        "what was slow."
    )


class AmbiguousError(RetryError):
    """Whether the call took effect is not known, and must be looked up before it is repeated."""

    code = "RK-4004"
    advice = "Look at the other side, by the call's own key, before it is repeated: repeating it may do it twice."


# ---------------------------------------------------------------------------------------------- integrity


class IntegrityError(FrameworkError):
    """What is stored is not what was recorded."""

    code = "RK-5000"
    category = Category.INTEGRITY
    advice = "Nothing was published. rowkeeper verify FILE compares the table with the books, run by run."


class StagingDamaged(IntegrityError):  # noqa: N818 - reads as what happened
    """What was staged is not on disk as it was sent."""

    code = "RK-5001"
    advice = (
        "The disk failed, or somebody changed the staging area. Nothing was published; see to the disk and run again."
    )


class BooksDiffer(IntegrityError):  # noqa: N818 - reads as what happened
    """The ledger and the destination do not say the same."""

    code = "RK-5002"
    advice = (
        "One of them was put back from a copy, or changed by hand. Restore both from the same backup; nothing is "
        "loaded until they agree."
    )


class ForeignWriter(IntegrityError):  # noqa: N818 - reads as what happened
    """Somebody else kept writing to the table while a run was being published."""

    code = "RK-5003"
    advice = "See that only Rowkeeper writes to this table while it publishes, then run again. No row was lost."


class SealBroken(IntegrityError):  # noqa: N818 - reads as what happened
    """A sealed file was changed since it was sealed, or sealed with another key."""

    code = "RK-5004"
    advice = "Put the file back from a backup. Its rows are counted in the ledger; the table is not concerned."


class AuditBroken(IntegrityError):  # noqa: N818 - reads as what happened
    """The audit trail is not what was signed: somebody changed it, cut it off, or put back an old copy."""

    code = "RK-5005"
    advice = (
        "Nothing is written to a trail that cannot be trusted, and so nothing is changed. rowkeeper audit verify tells "
        "what is wrong. Put the ledger back from a backup; one that is older on purpose is taken by rowkeeper audit "
        "accept."
    )


class WitnessDiffers(AuditBroken):
    """A witness has cosigned another audit trail than this one, or one with more entries."""

    code = "RK-5007"
    advice = (
        "The ledger was put back from an older copy, or somebody made up a trail of his own. rowkeeper audit verify "
        "compares it with all that is kept elsewhere. What the witness has cosigned it never takes back: a ledger that "
        "is older on purpose needs a new witness, or a new key at the witness."
    )


class AuditEntryTooLong(IntegrityError):  # noqa: N818 - reads as what happened
    """What is to be done does not fit into an audit entry, and without one it is not done."""

    code = "RK-5006"
    advice = (
        "An entry has at most 65,535 bytes. Names, paths and lists that it would hold are too long: use fewer at once."
    )


class CheckpointNotSent(IntegrityError):  # noqa: N818 - reads as what happened
    """A checkpoint of the audit trail could not be brought to the URL or the witness that is to keep it."""

    code = "RK-5008"
    retryable = True
    advice = (
        "Nothing is held up by it: the entries are in the ledger. It is tried again by the next command, and by the "
        "worker. Until then an older copy of the whole state folder could be put back unnoticed."
    )


# ----------------------------------------------------------------------------------------------- security


class SecurityError(FrameworkError):
    """A key, a permission or a seal is wrong."""

    code = "RK-6000"
    category = Category.SECURITY
    advice = "See to what the sentence names. Nothing was opened."


class KeyUnusable(SecurityError):  # noqa: N818 - reads as what happened
    """The key cannot be made, had, read or understood."""

    code = "RK-6001"
    advice = "Put the key file back from its copy. Without it neither tables nor quarantine can be read."


class WrongKey(SecurityError):  # noqa: N818 - reads as what happened
    """The key is not the one of this state folder."""

    code = "RK-6002"
    advice = "Each state folder names its key by an identifier: point to the key file that belongs to it."


class ProtectionMissing(SecurityError):  # noqa: N818 - reads as what happened
    """A classified column has no protection, and the policy file asks for one (`require_protection`)."""

    code = "RK-6030"
    category = Category.CONFIGURATION  # for whoever wrote the command, contract or policy to mend
    advice = (
        "Give the field a protection in the contract, such as rk.Pseudonymise(), or its classification one in the "
        "policy file. Nothing was read or written."
    )


class PolicyUnusable(SecurityError):  # noqa: N818 - reads as what it is
    """The policy file cannot be read, or says something that is no policy."""

    code = "RK-6031"
    category = Category.CONFIGURATION  # for whoever wrote the command, contract or policy to mend
    advice = (
        "The message names what is wrong. No pipeline runs without a policy that was asked for. "
        "docs/security-columns.md shows a policy file with all that can stand in it."
    )


class ProtectionChanged(SecurityError):  # noqa: N818 - reads as what happened
    """A column of the table was protected in another way, or with another key, by the run before."""

    code = "RK-6032"
    category = Category.CONFIGURATION  # for whoever wrote the command, contract or policy to mend
    advice = (
        'One column would hold values that do not compare. Load into a table of another name, or with write="replace", '
        "which writes every row anew; or make the protection what it was."
    )


class RevealIrreversible(SecurityError):  # noqa: N818 - reads as what it is
    """There is no way back from the protection of this column."""

    code = "RK-6033"
    category = Category.CONFIGURATION  # for whoever wrote the command, contract or policy to mend
    advice = "Only Encrypt, EncryptJoinable and FormatPreserving can be turned back. Other values are at the source."


class RevealFailed(SecurityError):  # noqa: N818 - reads as what happened
    """A value is no ciphertext of its column and purpose, or was changed."""

    code = "RK-6034"
    advice = (
        "Values that were loaded before the column was protected, under another purpose or in another state folder "
        "cannot be turned back here. rowkeeper verify FILE says whether the table was changed."
    )


class RevealRefused(SecurityError):  # noqa: N818 - reads as what happened
    """Somebody may not see the clear values that they asked for."""

    code = "RK-6035"
    advice = (
        "The owner of the state folder may, and who was given a role for it. Nothing was shown, and the trail has the "
        "refusal alone."
    )


class EventsUnwritten(SecurityError):  # noqa: N818 - reads as what happened
    """Security events cannot be written to the file that they were to go to."""

    code = "RK-6100"
    advice = "What is in the ledger is not concerned. Name another file, free some space, and export them again."


class AccessDenied(SecurityError):  # noqa: N818 - reads as what happened
    """Somebody may not do this. The refusal is in the audit trail."""

    code = "RK-6070"
    advice = (
        "rowkeeper access why USER ACTION RESOURCE names the policy that decided. Who administers the installation can "
        "give a role or a grant. Nothing was done."
    )


class UnknownUser(SecurityError):  # noqa: N818 - reads as what happened
    """There is no account of this name."""

    code = "RK-6071"
    category = Category.CONFIGURATION
    advice = "rowkeeper users list shows the accounts there are."


class UserExists(SecurityError):  # noqa: N818 - reads as what happened
    """There is an account of this name already; also a disabled one keeps its name."""

    code = "RK-6072"
    category = Category.CONFIGURATION
    advice = "rowkeeper users enable NAME lets a disabled one in again. Otherwise choose another name."


class AuthenticationRequired(SecurityError):  # noqa: N818 - reads as what happened
    """Nobody has signed in, and this is for those who have."""

    code = "RK-6080"
    advice = "Sign in, or send an API token: Authorization: Bearer rkt_... Nothing was done."


class AuthenticationFailed(SecurityError):  # noqa: N818 - reads as what happened
    """What was shown of who asks is not accepted. Which part of it is wrong is not told."""

    code = "RK-6081"
    advice = (
        "Name, password or code is wrong, the session or token is over, the account is disabled, or signing in has "
        "failed too often and waits for a while (a quarter of an hour at most). The audit trail says which. "
        "rowkeeper users password NAME gives another password and ends the waiting."
    )


class ProviderRefused(AuthenticationFailed):
    """What the identity provider sent is not accepted, or is about somebody who has no account here."""

    code = "RK-6085"
    advice = "Sign in again from the beginning: an answer is good once, for ten minutes, in the browser that asked."


class SecondFactorRequired(SecurityError):  # noqa: N818 - reads as what happened
    """The password was right, and the account has a second factor: a code is wanted too."""

    code = "RK-6082"
    advice = "Sign in again with the code that the authenticator shows, or with a recovery code."


class PasswordUnfit(SecurityError):  # noqa: N818 - reads as what happened
    """The password is too short, too long, or among those that are guessed first."""

    code = "RK-6083"
    category = Category.CONFIGURATION
    advice = "At least 12 letters of any kind; four or five random words make a good one. Nothing was changed."


class TokenUnfit(SecurityError):  # noqa: N818 - reads as what happened
    """An API token cannot be made as it was asked for, or there is none of this id."""

    code = "RK-6084"
    category = Category.CONFIGURATION
    advice = "rowkeeper tokens list shows the tokens there are; a token cannot do more than its account."


class FirstUserRefused(SecurityError):  # noqa: N818 - reads as what happened
    """The first user cannot be made: there are users, or the one-time token is not the one that was printed."""

    code = "RK-6086"
    advice = (
        "The token is printed on the console of a server that has no users, is good once, for an hour, and from the "
        "server's own machine alone. rowkeeper users add makes users without it."
    )


class CsrfRefused(SecurityError):  # noqa: N818 - reads as what happened
    """A request that would change something has a session's cookie, and not the token that goes with it."""

    code = "RK-6087"
    advice = "Send the token that signing in returned, as the header X-CSRF-Token. Nothing was done."


class ProviderUnusable(SecurityError):  # noqa: N818 - reads as what happened
    """The identity provider is not configured, cannot be reached, or says of itself what cannot be."""

    code = "RK-6088"
    advice = "See to the settings oidc_*, and to the provider. Passwords and API tokens go on without it."


class CredentialUnfit(SecurityError):  # noqa: N818 - reads as what happened
    """A second factor or a client certificate cannot be set up, or taken away, as it was asked for."""

    code = "RK-6089"
    category = Category.CONFIGURATION
    advice = "The sentence says what is wanted. Nothing was changed."


class RequestRefused(SecurityError):  # noqa: N818 - reads as what happened
    """The server does not take a request as it is: its host, origin, size, headers or body; nothing was done."""

    code = "RK-6090"
    category = Category.CONFIGURATION
    advice = (
        "The sentence names what is wrong with the request. docs/server.md has what the server takes, its OpenAPI "
        "description each route. Nothing was done."
    )


class RateExceeded(RequestRefused):
    """An address or a caller sent more requests than it may; nothing was done."""

    code = "RK-6091"
    retryable = True
    advice = (
        "Wait for the seconds that Retry-After says. ROWKEEPER_SERVER_ADDRESS_RATE and ROWKEEPER_SERVER_CALLER_RATE "
        "are how many requests a second are taken."
    )


class ServerBusy(RequestRefused):
    """The server has as many requests, jobs or connections as it may have, or is about to stop; nothing was done."""

    code = "RK-6092"
    retryable = True
    advice = (
        "Try again in some seconds. ROWKEEPER_SERVER_REQUESTS_MAX and ROWKEEPER_SERVER_JOBS_MAX are how much it does "
        "at a time."
    )


class UnknownJob(SecurityError):  # noqa: N818 - reads as what happened
    """There is no job of this id, or the caller may not see it."""

    code = "RK-6093"
    category = Category.CONFIGURATION
    advice = "GET /api/v1/jobs lists the jobs that you may see."


class ListeningRefused(SecurityError):  # noqa: N818 - reads as what happened
    """The server may not listen as it was told to: without TLS beyond this machine, or at an address that is taken."""

    code = "RK-6094"
    category = Category.CONFIGURATION
    advice = (
        "ROWKEEPER_SERVER_ADDRESS says where it listens. Without TLS (ROWKEEPER_SERVER_PLAINTEXT) it listens on this "
        "machine alone, for a proxy beside it."
    )


class AccessPolicyInvalid(SecurityError):  # noqa: N818 - reads as what it is
    """A policy that was written by hand cannot be read, understood, or does not fit the schema."""

    code = "RK-6073"
    category = Category.CONFIGURATION
    advice = (
        "Until it is mended nobody but the owner of the state folder may do anything: a rule that forbids could be "
        "among those that cannot be read. rowkeeper access check names the file and the line of each fault."
    )


class UnknownRole(SecurityError):  # noqa: N818 - reads as what happened
    """There is no role of this name."""

    code = "RK-6074"
    category = Category.CONFIGURATION
    advice = "rowkeeper roles list shows the roles there are; rowkeeper roles add makes one."


class RoleExists(SecurityError):  # noqa: N818 - reads as what happened
    """There is a role of this name already; those that come with Rowkeeper keep their names."""

    code = "RK-6075"
    category = Category.CONFIGURATION
    advice = "rowkeeper roles show NAME shows what it may. rowkeeper grants add gives it more; or choose another name."


class UnknownGrant(SecurityError):  # noqa: N818 - reads as what happened
    """There is no grant of this number."""

    code = "RK-6076"
    category = Category.CONFIGURATION
    advice = "rowkeeper grants list shows the grants there are, with their numbers."


class GrantInvalid(SecurityError):  # noqa: N818 - reads as what it is
    """What is to be granted makes no sense: an unknown action, a thing that it is not done to, a time that is over."""

    code = "RK-6077"
    category = Category.CONFIGURATION
    advice = "The sentence says which word is wrong. docs/access.md has the actions, and on what each is done."


class QueryRefused(SecurityError):  # noqa: N818 - reads as what happened
    """SQL has something in it that cannot be shown to be safe, or is no SQL. The refusal is in the audit trail."""

    code = "RK-6095"
    quotes = True  # what somebody typed
    advice = (
        "Whoever is not the owner of the state folder may ask what is on the lists in docs/queries.md: SELECT, with "
        "functions that make a value of their arguments alone. Everything else is refused, also what would do no harm. "
        "Nothing was read."
    )


class TableRefused(SecurityError):  # noqa: N818 - reads as what happened
    """SQL names a table that its reader may not see, or that is not there: the answer is the same."""

    code = "RK-6096"
    quotes = True  # what somebody typed
    advice = (
        "Tables that a pipeline of Rowkeeper's has filled can be seen by whom a role or a grant lets. A purpose may be "
        "part of it: rowkeeper query --purpose PURPOSE. Nothing was read."
    )


class ColumnRefused(SecurityError):  # noqa: N818 - reads as what happened
    """SQL names a column that its reader may not see, not even masked."""

    code = "RK-6097"
    quotes = True  # what somebody typed
    advice = (
        "SELECT * leaves such columns out. Who administers the installation can let a role see the column, clear or "
        "masked. No value of it was read."
    )


class QueryDiffers(SecurityError):  # noqa: N818 - reads as what happened
    """The engine reads something else in the SQL than was permitted: it is refused, whatever the reason."""

    code = "RK-6098"
    advice = (
        "Governed SQL is run only if two parsers agree on what it reads. Ask in simpler words, and report it: either "
        "Rowkeeper understands too little, or somebody has tried to get around it. Nothing was read."
    )


class QueryFailed(SecurityError):  # noqa: N818 - reads as what happened
    """The engine could not carry out governed SQL. Its own words are left out: they may hold values."""

    code = "RK-6099"
    category = Category.CONFIGURATION  # for whoever wrote the SQL to mend
    advice = (
        "The name is ClickHouse's own: CANNOT_PARSE_TEXT is a text that is no number, TYPE_MISMATCH and "
        "ILLEGAL_TYPE_OF_ARGUMENT are a function that does not take such a column, as a masked one may be. "
        "TIMEOUT_EXCEEDED and TOO_MANY_ROWS_OR_BYTES are limits."
    )


class WeakKey(KeyUnusable):
    """The key is one that others can guess or know: all the same byte, a pattern, or published somewhere."""

    code = "RK-6013"
    advice = (
        "Remove the key file, if nothing was encrypted with it yet, and a random key is made at the next use. A state "
        "folder that was made with such a key is as good as unencrypted: load into a new one."
    )


class SecretLiteral(SecurityError):  # noqa: N818 - reads as what happened
    """A secret, or a text that is no reference, stands where a reference to a secret belongs."""

    code = "RK-6010"
    category = Category.CONFIGURATION
    advice = (
        "Move the secret to where only its reader can see it, and refer to it: env:NAME, file:PATH, "
        "keyring:SERVICE/NAME or vault:PATH#KEY. A secret that was in a file under version control is to be changed, "
        "not only moved. docs/security-configuration.md says how."
    )


class SecretUnavailable(SecurityError):  # noqa: N818 - reads as what happened
    """A secret reference leads to nothing, or to what may not be used."""

    code = "RK-6011"
    advice = "See to what the sentence names: the reference says where the secret should be. Nothing was opened."


class VaultUnreachable(SecretUnavailable):
    """The vault that a reference names is down, sealed or on standby."""

    code = "RK-6012"
    retryable = True
    advice = (
        "Start or unseal it (bao status, bao operator unseal) and run again: nothing was opened. It is looked for at "
        "ROWKEEPER_VAULT_ADDRESS."
    )


class KeysetsDamaged(SecurityError):  # noqa: N818 - reads as what happened
    """The keysets of the state folder are missing, were changed, or are those of another state folder."""

    code = "RK-6020"
    advice = (
        "Put keys.json back from a backup of this state folder, not older than the last rotation: keys that were made "
        "later are in no older copy. Nothing was opened or written."
    )


class KeyRevoked(SecurityError):  # noqa: N818 - reads as what happened
    """The key was revoked: what was written with it is not to be read any more."""

    code = "RK-6021"
    advice = "rowkeeper keys list says when and why. There is no way back but a backup from before, keys.json included."


class KeyInUse(SecurityError):  # noqa: N818 - reads as what happened
    """The key cannot be revoked: something is still sealed with it, or may be."""

    code = "RK-6022"
    advice = (
        "Nothing was changed. What is sealed with a revoked key is lost: --force --reason TEXT does it after all, on "
        "the record."
    )


class TLSError(SecurityError):
    """A secure connection could not be made. Nothing was sent over it, and it is not tried again by itself."""

    code = "RK-6040"
    advice = "rowkeeper certs check HOST:PORT looks at the other side as a connection would, and says what it finds."


class CertificateRefused(TLSError):  # noqa: N818 - reads as what happened
    """The other side's certificate is not to be trusted."""

    code = "RK-6041"
    advice = (
        "The sentence says what is wrong with it. rowkeeper certs check HOST:PORT says more. Until it is mended "
        "nothing is sent there: whoever answered may be somebody else."
    )


class PinMismatch(TLSError):  # noqa: N818 - reads as what happened
    """The other side's key is none of those that are pinned."""

    code = "RK-6042"
    advice = (
        "If the key was changed on purpose, add the new pin that rowkeeper certs check HOST:PORT prints, and take the "
        "old one out when all servers have changed. If nobody changed it, somebody is between you and the server."
    )


class ClientCertificateRefused(TLSError):  # noqa: N818 - reads as what happened
    """The other side wants a client certificate, or another one than it was shown."""

    code = "RK-6043"
    advice = (
        "Name a client certificate that the server's operator accepts (cert=, key=, or ROWKEEPER_TLS_CERT and "
        "ROWKEEPER_TLS_KEY). rowkeeper certs issue NAME --client makes one of the private authority."
    )


class ProtocolRefused(TLSError):  # noqa: N818 - reads as what happened
    """The other side speaks no TLS, or none that is still safe."""

    code = "RK-6044"
    advice = "Let the server speak TLS 1.2 or 1.3 with ECDHE and AES-GCM or ChaCha20; older ones are not spoken to."


class CertificateUnusable(TLSError):  # noqa: N818 - reads as what happened
    """A certificate, key, CA bundle or revocation list of ours is missing, damaged, or does not fit."""

    code = "RK-6045"
    advice = "Put the file right that the sentence names. No connection was tried."


class PlaintextRefused(TLSError):  # noqa: N818 - reads as what happened
    """Another machine would be reached without TLS, and nothing says that this is meant."""

    code = "RK-6046"
    category = Category.CONFIGURATION
    advice = (
        "Reach it by TLS. Where that cannot be, say so of that one destination by name (for the ledger: "
        "ROWKEEPER_LEDGER_PLAINTEXT=true); each use is then logged."
    )


class AuthorityError(TLSError):
    """The private certificate authority cannot do what was asked: it is not there, there already, or damaged."""

    code = "RK-6047"
    advice = "rowkeeper certs init makes an authority, once for each state folder; rowkeeper certs show tells of it."


class NameUnresolved(SecurityError):  # noqa: N818 - reads as what happened
    """A declared name leads to no address, so that no firewall rule can let it out."""

    code = "RK-6060"
    retryable = True
    advice = (
        "Firewalls know addresses and no names. Correct the name where it is declared, or render where DNS and "
        "/etc/hosts know it. Nothing was written."
    )


class VpnMisconfigured(SecurityError):  # noqa: N818 - reads as what happened
    """The configuration of a VPN in rowkeeper.toml cannot be used."""

    code = "RK-6061"
    category = Category.CONFIGURATION
    advice = "The sentence names each line that is wrong, and its mend. Nothing was written."


class VpnRefused(SecurityError):  # noqa: N818 - reads as what happened
    """A place is to be reached by one interface alone, and that way is not to be had; nothing was sent by another."""

    code = "RK-6062"
    retryable = True
    advice = (
        "rowkeeper vpn check shows interface, handshakes and routes. What was staged is kept: bring it up, run again."
    )


class VpnDown(VpnRefused):
    """The interface is not there, or down."""

    code = "RK-6063"
    advice = (
        "Bring it up (wg-quick up wg0) and run again: it goes on where it stopped. rowkeeper vpn check shows its state."
    )


class VpnBypassed(VpnRefused):
    """The route to an address leaves by another interface than the one that is demanded."""

    code = "RK-6064"
    advice = (
        "Bring the VPN up, or add the address to allowed_ips of its peer; ip route get ADDRESS shows the way it would "
        "go. Nothing was sent."
    )


class VpnStale(VpnRefused):
    """The last handshake of the WireGuard peer is too old: nobody answers at the other end of the tunnel."""

    code = "RK-6065"
    advice = (
        "See whether the peer is up and knows this machine's public key, and whether its endpoint can be reached by "
        "UDP. Rowkeeper has knocked and waited some seconds for an answer."
    )


class VpnUnseen(VpnRefused):
    """The state of the interface cannot be seen, so that nobody knows whether the way is safe."""

    code = "RK-6066"
    retryable = False
    advice = (
        "Handshakes are seen by root and by processes with CAP_NET_ADMIN (systemd: AmbientCapabilities=CAP_NET_ADMIN), "
        "with wireguard-tools installed. rk.Via(NAME, handshake_seconds_max=None), or ROWKEEPER_LEDGER_VIA=NAME:route, "
        "looks at route and link alone, which everybody may see."
    )


class EgressRefused(SecurityError):  # noqa: N818 - reads as what happened
    """A connection, or a look-up, of a place on the network that neither settings nor pipelines declare."""

    code = "RK-6050"
    advice = (
        "Nothing was sent. If the place is meant, declare it: endpoints=[rk.Endpoint(HOST, PORT)] in the pipeline, or "
        "ROWKEEPER_EGRESS_ALLOW. If it is not, find out what wanted to go there: --debug shows the lines. rowkeeper "
        "endpoints FILE prints what is declared."
    )


class AddressForbidden(EgressRefused):
    """A declared host has an address that may not be reached: private, loopback, metadata, or one in disguise."""

    code = "RK-6051"
    advice = (
        "Nothing was sent. If the host is meant to be in a private network, its declaration says so: "
        "rk.Endpoint(HOST, PORT, private=True), or the network stands in ROWKEEPER_EGRESS_ALLOW. If it is not meant to "
        "be there, the name server was told wrongly, or somebody tries to reach into your network."
    )


class RedirectRefused(EgressRefused):
    """A server answered with a redirect to another host, or from https to http."""

    code = "RK-6052"
    advice = "Declare the address that the server redirects to, and use that, if it is the one that is meant."


class ProxyRefused(EgressRefused):
    """The proxy did not make the connection: it knows neither user nor host, or does not allow it."""

    code = "RK-6053"
    category = Category.NETWORK
    advice = "See to the proxy: its user and password (ROWKEEPER_PROXY_PASSWORD), and what it lets through."


class BackupError(FrameworkError):
    """A backup cannot be made, or cannot be used."""

    code = "RK-7001"
    category = Category.PROCESSING
    advice = "Nothing that was there before is changed by it: neither the installation nor a backup. docs/backups.md."


class BackupsNotSetUp(BackupError):  # noqa: N818 - reads as what happened
    """It is not set where backups are."""

    code = "RK-7002"
    category = Category.CONFIGURATION
    advice = (
        "ROWKEEPER_BACKUP_TO is a folder, best on another machine, or s3://, gs:// or az://; ROWKEEPER_BACKUP_ACCESS "
        "says who we are in a bucket, by references. From then on Rowkeeper also keeps what is needed to restore to "
        "each run that is published between two backups."
    )


class BackupMissing(BackupError):  # noqa: N818 - reads as what happened
    """There is no such backup, or one that it goes on from is missing."""

    code = "RK-7003"
    advice = (
        "rowkeeper backup list shows what there is, and which chains are whole. An incremental backup is of no use "
        "without each one before it, back to a full one: put the missing one back, or make a full one now."
    )


class BackupForeign(BackupError):  # noqa: N818 - reads as what happened
    """A backup, or a place with backups, is another installation's."""

    code = "RK-7004"
    category = Category.CONFIGURATION
    advice = (
        "A place is for the backups of one installation. Set ROWKEEPER_BACKUP_TO to a folder of this one's own, or "
        "point ROWKEEPER_HOME at the state folder that the backups are of."
    )


class BackupUnsuited(BackupError):  # noqa: N818 - reads as what happened
    """What there is cannot be backed up by Rowkeeper."""

    code = "RK-7005"
    category = Category.CONFIGURATION
    advice = (
        "Rowkeeper backs up tables in ClickHouse and a ledger in SQLite or PostgreSQL. A ledger in another database is "
        "backed up by its own means, after the tables; see docs/backups.md."
    )


class BackupDamaged(BackupError):  # noqa: N818 - reads as what happened
    """A backup is not what was written."""

    code = "RK-7006"
    category = Category.INTEGRITY
    advice = (
        "Neither restore from it nor let another one go on from it. Others may be sound: rowkeeper backup verify looks "
        "at all of them. Make a full one now, and see to the disk or bucket where they lie."
    )


class LedgerUncarried(BackupError):  # noqa: N818 - reads as what happened
    """A ledger holds what SQLite takes and PostgreSQL does not, or the other way round."""

    code = "RK-7027"
    category = Category.INTEGRITY
    advice = (
        "Rowkeeper writes nothing that one of the two does not take: somebody else may have written to the ledger. "
        "The sentence names the table. Nothing was changed; the ledger can be used where it is."
    )


class TableMoved(BackupError):  # noqa: N818 - reads as what happened
    """A table on a ClickHouse server was changed while its rows were fetched for a backup."""

    code = "RK-7010"
    retryable = True
    advice = (
        "The backup was given up, and nothing of it is left. Rowkeeper reads a clone of each table whose name ends in "
        "__rk_saved_RUN, or in __rk_kept_RUN: nobody else may write to these. Make the backup again."
    )


class TablesUnplaced(BackupError):  # noqa: N818 - reads as what happened
    """The state folder was restored, and so were tables on a server, but these are not in their places yet."""

    code = "RK-7009"
    retryable = True
    advice = (
        "Nothing is lost and nothing has to be restored again: the tables lie ready on the server. `rowkeeper "
        "recover`, or the next run into each, puts it in its place as soon as the server can be reached. Until then "
        "readers see the former table."
    )


class RestoreRefused(BackupError):  # noqa: N818 - reads as what happened
    """A backup is not restored. Nothing that was there is touched."""

    code = "RK-7020"
    advice = "See to what the sentence names, and give the command again: it starts over, and leaves nothing behind."


class TableThere(RestoreRefused):
    """There is a table on a ClickHouse server that a restore would replace."""

    code = "RK-7008"
    category = Category.CONFIGURATION
    advice = (
        "To look at what the backup has, restore into an empty folder (--into): that touches no server. To put it in "
        "the place of what is on the server, give --force: the former table stays beside it, as "
        "TABLE__rk_aside_RUN_TIME."
    )


class StateThere(RestoreRefused):
    """There is a state folder with data where a backup was to be restored."""

    code = "RK-7021"
    category = Category.CONFIGURATION
    advice = (
        "Restore into an empty folder (--into), look at it with ROWKEEPER_HOME set to it; or put it in the place of "
        "what is there (--force), which is set aside under another name and not removed."
    )


class StateInUse(RestoreRefused):
    """Runs, a worker, a server or the embedded engine use the state folder that is to be replaced."""

    code = "RK-7022"
    category = Category.CONFIGURATION
    retryable = True
    advice = "Stop the worker and the server, let runs end, wait until the engine has gone away, and try again."


class PointUnknown(RestoreRefused):
    """No backup that is there holds the state of this run or of this time."""

    code = "RK-7023"
    category = Category.CONFIGURATION
    advice = "`rowkeeper backup list` shows to which runs can be gone back. Only published runs can be named."


class RestoreUnsound(RestoreRefused):
    """What was restored is not what the books say: its tables have other fingerprints, or damaged parts."""

    code = "RK-7024"
    category = Category.INTEGRITY
    advice = (
        "The backup is not what was backed up, or this machine's disk or memory fails. `rowkeeper backup verify` "
        "tells which; restore to another run, or from another copy."
    )


class RestorePlaceUnfit(RestoreRefused):
    """The folder cannot be restored into: it may not be written, or cannot be exchanged in one step."""

    code = "RK-7025"
    category = Category.CONFIGURATION
    advice = "The folder is made beside its future place and put there in one step: the folder above must be writable."


class LedgerPlaceUnfit(RestoreRefused):
    """The database that is to hold the ledger has tables that are none of a ledger's."""

    code = "RK-7026"
    category = Category.CONFIGURATION
    advice = (
        "Let ROWKEEPER_LEDGER_URL lead to an empty database or schema, or to the ledger that was backed up. "
        "docs/restore.md says what becomes of it."
    )


class RestoreUnfinished(RestoreRefused):
    """A restore died after its ledger may have been committed to PostgreSQL, and before its folder was in place."""

    code = "RK-7028"
    category = Category.CONFIGURATION
    advice = (
        "Whoever opens the state folder next with the same ROWKEEPER_LEDGER_URL finishes it: rowkeeper doctor. It asks "
        "the server whether the ledger was committed; then the folder takes its place, and otherwise all is as it was."
    )


# ------------------------------------------------------------------------------------------------- alerts


class AlertsUnusable(ConfigurationError):  # noqa: N818 - reads as what happened
    """The alerts file cannot be read, or says something that makes no sense."""

    code = "RK-7055"
    advice = (
        "The sentence names the line. Until it is right no rule is looked at and nothing is sent; alerts stand as they "
        "did. docs/alerts.md has every word of the file."
    )


class RouteUnsupported(AlertsUnusable):
    """A route leads to a service that Rowkeeper does not send to, or asks for what it does not do there."""

    code = "RK-7056"
    advice = (
        "Only services that were looked at and tested are sent to, as every connection goes by the declared hosts. "
        "docs/alerts.md lists them; others take a plain webhook (https://), or are behind an Alertmanager."
    )


class UnknownAlert(ConfigurationError):  # noqa: N818 - reads as what happened
    """There is no open alert, silence or route of this name or number."""

    code = "RK-7057"
    advice = "rowkeeper alerts list shows alerts and silences; rowkeeper alerts show, routes."


class SilenceUnfit(ConfigurationError):  # noqa: N818 - reads as what happened
    """A silence cannot be set as it was asked for."""

    code = "RK-7058"
    advice = "A silence has matchers, an end in the future, and a reason; none is for everything. Nothing was changed."


class NoticeNotDelivered(FrameworkError):  # noqa: N818 - reads as what happened
    """A notice of alerts could not be brought to its receiver."""

    code = "RK-7059"
    category = Category.NETWORK
    retryable = True
    advice = (
        "Nothing is lost: it stands in the ledger's outbox, and is tried again after a pause that grows up to 15 "
        "minutes. rowkeeper alerts test ROUTE sends one now, and tells what happens."
    )


class MetricsUnwritten(ConfigurationError):  # noqa: N818 - reads as what happened
    """A file of metrics, or of rules for them, cannot be written where it was asked for."""

    code = "RK-7050"
    advice = "Name a file in a folder that is there and that this user may write to. A file that was there stays."


class UnknownMetric(ConfigurationError):  # noqa: N818 - reads as what happened
    """No metric has such a word in its name."""

    code = "RK-7060"
    advice = "rowkeeper metrics show, without a word, shows every metric. docs/metrics.md tells what each is."


class UnknownKey(PipelineError):  # noqa: N818 - reads as what happened
    """No rule of freshness has ever seen such a key."""

    code = "RK-7040"
    category = Category.CONFIGURATION
    advice = "rowkeeper freshness list PIPELINE lists the keys that are known, and how new each is."


class TooManyKeys(PipelineError):  # noqa: N818 - reads as what happened
    """A rule of freshness is declared by a column with more values than can be watched one by one."""

    code = "RK-7041"
    category = Category.CONFIGURATION
    advice = "Name a column that parts the table in hundreds at most; or leave by= out, and watch the table as a whole."


class UnknownError(FrameworkError):
    """A fault of Rowkeeper itself: an exception that nobody foresaw."""

    code = "RK-9001"
    advice = (
        "Give the command again with --debug and report the traceback. The next command finds out what took effect."
    )

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """For an exception of somebody else's: by its class, without its words."""
        return cls(
            f"an error that Rowkeeper does not know: {type(error).__name__}",
            hint="run it again with --debug for the traceback, and report it",
        )


def is_panic(error: BaseException) -> bool:
    """Whether a library in Rust (Polars, Pydantic) panicked. Each has a class of its own for it, known by its name."""
    return type(error).__name__ == "PanicException"


def is_fault(error: BaseException) -> bool:
    """Whether something went wrong, rather than that somebody wants the process or the work to end.

    A panic goes wrong like any exception, but is no `Exception`.
    """
    return isinstance(error, Exception) or is_panic(error)
