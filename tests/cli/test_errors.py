"""Errors have codes that stay the same, and each is explained where it is met."""

from __future__ import annotations

import re

import pytest

from rowkeeper.errors import ConfigurationError, FrameworkError, all_errors, error_of
from tests.arena import Arena

# Alerts and runbooks hang on these: a code is never given to another error, nor an error another code.
CODES = {
    "FrameworkError": "RK-0000",
    "ConfigurationError": "RK-1000",
    "SettingsError": "RK-1001",
    "UnknownRun": "RK-1002",
    "UnknownSchedule": "RK-7071",
    "BackfillUnfit": "RK-7072",
    "PipelineFileError": "RK-1101",
    "DeclarationError": "RK-1102",
    "ContractError": "RK-1201",
    "LayoutError": "RK-1301",
    "PipelineError": "RK-2000",
    "RunInterrupted": "RK-2001",
    "RunUnfit": "RK-2002",
    "SpoolBlocked": "RK-2003",
    "SlotAnswered": "RK-7070",
    "BackfillStopped": "RK-7073",
    "MendedUnfit": "RK-2004",
    "MetricsUnwritten": "RK-7050",
    "UnknownMetric": "RK-7060",
    "AlertsUnusable": "RK-7055",
    "RouteUnsupported": "RK-7056",
    "UnknownAlert": "RK-7057",
    "SilenceUnfit": "RK-7058",
    "NoticeNotDelivered": "RK-7059",
    "SourceError": "RK-2100",
    "SourceMissing": "RK-2101",
    "SourceDamaged": "RK-2102",
    "SourceChanged": "RK-2103",
    "ColumnsDiffer": "RK-2104",
    "ApiUnavailable": "RK-2110",
    "ApiRefused": "RK-2111",
    "ApiUnauthorised": "RK-2112",
    "AnswerUnreadable": "RK-2113",
    "AnswerTooLarge": "RK-2114",
    "AnswerIsError": "RK-2115",
    "RecordsMissing": "RK-2116",
    "PagesEndless": "RK-2117",
    "PagesChanged": "RK-2118",
    "CursorWentBack": "RK-2119",
    "BrokerUnavailable": "RK-2160",
    "BrokerUnauthorised": "RK-2161",
    "BrokerRefused": "RK-2162",
    "MessagesLost": "RK-2163",
    "StreamRemade": "RK-2164",
    "StreamUnfit": "RK-2165",
    "StoreError": "RK-2140",
    "StoreUnavailable": "RK-2141",
    "StoreUnauthorised": "RK-2142",
    "StoreForbidden": "RK-2143",
    "BucketMissing": "RK-2144",
    "ObjectMissing": "RK-2145",
    "ObjectChanged": "RK-2146",
    "ObjectExists": "RK-2147",
    "StoreUnfit": "RK-2148",
    "SourceDown": "RK-2120",
    "LoginRefused": "RK-2121",
    "TableMissing": "RK-2122",
    "RightsMissing": "RK-2123",
    "StatementRefused": "RK-2124",
    "TableChanged": "RK-2125",
    "CursorUnfit": "RK-2126",
    "ColumnUnreadable": "RK-2127",
    "TransformError": "RK-2201",
    "GateError": "RK-2202",
    "ValidationError": "RK-2301",
    "DatabaseError": "RK-3000",
    "EngineDied": "RK-3001",
    "EngineDown": "RK-3002",
    "QueryError": "RK-3003",
    "EngineMemory": "RK-3004",
    "DiskFull": "RK-3101",
    "ServerAway": "RK-3110",
    "ServerDown": "RK-3111",
    "ServerMemory": "RK-3112",
    "ServerUnauthorised": "RK-3113",
    "ReplicasDiffer": "RK-3114",
    "MessageTooLarge": "RK-3160",
    "StreamUnsuited": "RK-3161",
    "RunTooLarge": "RK-3162",
    "DestinationLacks": "RK-3120",
    "DestinationUnreachable": "RK-3121",
    "DestinationRefused": "RK-3122",
    "RowsUnfit": "RK-3140",
    "DeliveryUnread": "RK-3141",
    "DeliveryLost": "RK-3142",
    "StateError": "RK-3201",
    "NewerState": "RK-3202",
    "LedgerBusy": "RK-3301",
    "LedgerUnreachable": "RK-5009",
    "LedgerLost": "RK-5010",
    "CommitUnknown": "RK-5011",
    "LedgerReadOnly": "RK-5012",
    "LedgerCrowded": "RK-5013",
    "LedgerForbids": "RK-5014",
    "LeaseError": "RK-3400",
    "LeaseHeld": "RK-3401",
    "LeaseLost": "RK-3402",
    "RetryError": "RK-4001",
    "CircuitOpenError": "RK-4002",
    "DeadlineExceeded": "RK-4003",
    "AmbiguousError": "RK-4004",
    "IntegrityError": "RK-5000",
    "StagingDamaged": "RK-5001",
    "BooksDiffer": "RK-5002",
    "ForeignWriter": "RK-5003",
    "SealBroken": "RK-5004",
    "AuditBroken": "RK-5005",
    "AuditEntryTooLong": "RK-5006",
    "WitnessDiffers": "RK-5007",
    "CheckpointNotSent": "RK-5008",
    "BackupError": "RK-7001",
    "BackupsNotSetUp": "RK-7002",
    "BackupMissing": "RK-7003",
    "BackupForeign": "RK-7004",
    "BackupUnsuited": "RK-7005",
    "BackupDamaged": "RK-7006",
    "TableThere": "RK-7008",
    "TablesUnplaced": "RK-7009",
    "TableMoved": "RK-7010",
    "SecurityError": "RK-6000",
    "KeyUnusable": "RK-6001",
    "WrongKey": "RK-6002",
    "QueryRefused": "RK-6095",
    "TableRefused": "RK-6096",
    "ColumnRefused": "RK-6097",
    "QueryDiffers": "RK-6098",
    "QueryFailed": "RK-6099",
    "EventsUnwritten": "RK-6100",
    "AccessDenied": "RK-6070",
    "UnknownUser": "RK-6071",
    "UserExists": "RK-6072",
    "AuthenticationRequired": "RK-6080",
    "AuthenticationFailed": "RK-6081",
    "SecondFactorRequired": "RK-6082",
    "PasswordUnfit": "RK-6083",
    "TokenUnfit": "RK-6084",
    "ProviderRefused": "RK-6085",
    "FirstUserRefused": "RK-6086",
    "CsrfRefused": "RK-6087",
    "ProviderUnusable": "RK-6088",
    "CredentialUnfit": "RK-6089",
    "RequestRefused": "RK-6090",
    "RateExceeded": "RK-6091",
    "ServerBusy": "RK-6092",
    "UnknownJob": "RK-6093",
    "ListeningRefused": "RK-6094",
    "AccessPolicyInvalid": "RK-6073",
    "UnknownRole": "RK-6074",
    "RoleExists": "RK-6075",
    "UnknownGrant": "RK-6076",
    "GrantInvalid": "RK-6077",
    "ProtectionMissing": "RK-6030",
    "PolicyUnusable": "RK-6031",
    "ProtectionChanged": "RK-6032",
    "RevealIrreversible": "RK-6033",
    "RevealFailed": "RK-6034",
    "RevealRefused": "RK-6035",
    "SecretLiteral": "RK-6010",
    "SecretUnavailable": "RK-6011",
    "VaultUnreachable": "RK-6012",
    "WeakKey": "RK-6013",
    "KeysetsDamaged": "RK-6020",
    "KeyRevoked": "RK-6021",
    "KeyInUse": "RK-6022",
    "TLSError": "RK-6040",
    "CertificateRefused": "RK-6041",
    "PinMismatch": "RK-6042",
    "ClientCertificateRefused": "RK-6043",
    "ProtocolRefused": "RK-6044",
    "CertificateUnusable": "RK-6045",
    "PlaintextRefused": "RK-6046",
    "AuthorityError": "RK-6047",
    "NameUnresolved": "RK-6060",
    "VpnMisconfigured": "RK-6061",
    "VpnRefused": "RK-6062",
    "VpnDown": "RK-6063",
    "VpnBypassed": "RK-6064",
    "VpnStale": "RK-6065",
    "VpnUnseen": "RK-6066",
    "EgressRefused": "RK-6050",
    "AddressForbidden": "RK-6051",
    "RedirectRefused": "RK-6052",
    "ProxyRefused": "RK-6053",
    "UnknownKey": "RK-7040",
    "TooManyKeys": "RK-7041",
    "RestoreRefused": "RK-7020",
    "StateThere": "RK-7021",
    "StateInUse": "RK-7022",
    "PointUnknown": "RK-7023",
    "RestoreUnsound": "RK-7024",
    "RestorePlaceUnfit": "RK-7025",
    "LedgerPlaceUnfit": "RK-7026",
    "LedgerUncarried": "RK-7027",
    "RestoreUnfinished": "RK-7028",
    "UnknownError": "RK-9001",
}


def test_codes_stay_the_same():
    """Every error has the code that it always had, and no two share one."""
    assert {each.__name__: each.code for each in all_errors()} == CODES
    assert len(set(CODES.values())) == len(CODES)


def test_every_error_says_what_to_do():
    """Each has advice of its own, or that of the kind above it."""
    for error in all_errors():
        told = error.explanation()
        assert re.fullmatch(r"[A-Z].+\.", str(told["meaning"])), told
        assert re.fullmatch(r".{20,}\.", str(told["advice"])), told


@pytest.mark.parametrize("word", ["RK-2103", "rk-2103", "2103", "RK2103", "sourcechanged"])
def test_an_error_is_found_however_it_is_written(word: str):
    """By code, with or without its letters, or by name."""
    assert error_of(word).code == "RK-2103"


def test_the_code_is_told_where_the_error_is(arena: Arena):
    """On standard error, in the JSON document, and the command explains it."""
    outcome = arena.run("show", "4711", "--json")
    assert outcome.status == 2
    assert "(RK-1002)" in outcome.stderr
    assert outcome.json["error"]["code"] == "RK-1002"
    assert arena.ok("errors", "RK-1002")["errors"][0]["name"] == "UnknownRun"
    assert len(arena.ok("errors")["errors"]) == len(CODES)


def test_a_wrong_code_gets_the_nearest(arena: Arena):
    """Somebody who mistypes is helped on."""
    with pytest.raises(ConfigurationError, match="there is no error RK-21033") as caught:
        error_of("RK-21033")
    assert "RK-2103" in caught.value.hint
    assert arena.run("errors", "SourcMissing").status == 2


def test_an_error_document_holds_what_logs_need():
    """Type, code, category, whether to try again, what happened, what to do."""
    document = FrameworkError("it fell", hint="lift it").document()
    assert document == {
        "type": "FrameworkError",
        "code": "RK-0000",
        "category": "processing",
        "retryable": False,
        "what": "it fell",
        "hint": "lift it",
    }
