"""OpenBao and Vault: secrets read with a token or an AppRole, and their leases renewed for as long as they are used.

`hvac` (2.3 was looked at) speaks all of Vault, over `requests` alone: it could not go through the pinned client of
`rowkeeper.security.egress`, which is what every connection off this machine has to do. What is needed here is seven
requests.

    client.py    one request, and what its failures mean
    access.py    the token: given, or by an AppRole; renewed, or made anew
    reading.py   a path and a key; KV of both versions, and secrets that are made for whoever asks
    leases.py    what was lent, until when; the thread that renews it
"""

from rowkeeper.security.references.vault.access import Credentials
from rowkeeper.security.references.vault.reading import Vault, vault_of

__all__ = ["Credentials", "Vault", "vault_of"]
