"""What the ledger keeps of signing in: passwords, second factors, sessions, API tokens, failures."""

from rowkeeper.ledger.signing_in.admitting import Proven
from rowkeeper.ledger.signing_in.books import SigningIn
from rowkeeper.ledger.signing_in.passwords import Account
from rowkeeper.ledger.signing_in.records import FactorRecord, SessionRecord, TokenRecord
from rowkeeper.ledger.signing_in.throttles import Attempt, Subject

__all__ = ["Account", "Attempt", "FactorRecord", "Proven", "SessionRecord", "SigningIn", "Subject", "TokenRecord"]
