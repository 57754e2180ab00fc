"""How tests sign the audit trails of ledgers that they open by themselves."""

from rowkeeper.ledger import Auditing

AUDITING = Auditing(lambda: (b"\x07" * 32,))
