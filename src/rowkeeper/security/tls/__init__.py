"""TLS: the one place that makes `ssl.SSLContext`s, and that says what a failed handshake means.

declaring.py    TLS: what a user declares
contexts.py     client_context, server_context: made from files, and made anew when a file has changed
material.py     certificates, keys and lists of ours, refused with a reason where they cannot be used
peers.py        secure, verify_peer: the handshake, and what ssl cannot check by itself
explaining.py   what an error of ssl means, in our words: one table
plaintext.py    require_tls: whether a place may be reached without
"""

from rowkeeper.security.tls.contexts import client_context, server_context, store_file
from rowkeeper.security.tls.declaring import TLS
from rowkeeper.security.tls.defaults import default_tls
from rowkeeper.security.tls.explaining import explained
from rowkeeper.security.tls.peers import secure, verify_peer
from rowkeeper.security.tls.plaintext import is_local, require_tls

__all__ = [
    "TLS",
    "client_context",
    "default_tls",
    "explained",
    "is_local",
    "require_tls",
    "secure",
    "server_context",
    "store_file",
    "verify_peer",
]
