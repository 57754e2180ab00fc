"""Who somebody is: passwords, second factors, sessions, API tokens, identity providers, client certificates."""

from rowkeeper.access.authentication.authentication import Authentication, Rules
from rowkeeper.access.authentication.credentials import Credentials, NewSession, NewToken

__all__ = ["Authentication", "Credentials", "NewSession", "NewToken", "Rules"]
