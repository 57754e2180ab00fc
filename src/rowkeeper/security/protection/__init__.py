"""Column protection: what becomes of classified values before anything is written.

method.py        what a protection is
redact.py mask.py pseudonym.py encrypt.py preserve.py generalise.py      a method each
ff1.py           FF1 itself
ciphertext.py    what a ciphertext says of itself
values.py        values as bytes
columnar.py      distinct values once, and every row takes its own
markers.py       what a contract says of its fields
policy.py        the policy file
plan.py          the protections of one contract, ready to be applied
"""

from rowkeeper.security.protection.encrypt import Encrypt, EncryptJoinable
from rowkeeper.security.protection.generalise import Generalise
from rowkeeper.security.protection.mask import PartialMask
from rowkeeper.security.protection.method import Method
from rowkeeper.security.protection.preserve import FormatPreserving
from rowkeeper.security.protection.pseudonym import Pseudonymise
from rowkeeper.security.protection.redact import Redact

__all__ = [
    "Encrypt",
    "EncryptJoinable",
    "FormatPreserving",
    "Generalise",
    "Method",
    "PartialMask",
    "Pseudonymise",
    "Redact",
]
