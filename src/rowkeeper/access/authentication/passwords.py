"""Passwords: hashed with Argon2id, checked in the same time whoever is asked about; which ones are taken.

The parameters are the second choice of RFC 9106 (section 4): 64 MiB, 3 passes, 4 lanes; more than OWASP asks for.
A password is compared in Unicode's NFKC form, as keyboards write the same letter in several ways.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import unicodedata
from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rowkeeper.errors import ConfigurationError, PasswordUnfit, ServerBusy

if TYPE_CHECKING:
    from argon2 import PasswordHasher

LENGTH_MIN, LENGTH_MAX = 12, 512
SCORE_MIN = 3  # of zxcvbn: 10^8 guesses by somebody who knows how people choose
ESTIMATED_LENGTH = 72  # of a longer one its beginning is estimated: the estimate takes long, and longer ones are better
AT_A_TIME = 4  # verifications: each takes 64 MiB
TURN_SECONDS_MAX = 3.0


class Passwords:
    """Hashes and checks passwords.

    Args:
        hasher: how; a test takes less memory and time than everybody else.
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or library("argon2").PasswordHasher()
        self._turns = threading.BoundedSemaphore(AT_A_TIME)
        self._nobodys = self._hasher.hash(secrets.token_hex(16))

    def hash(self, password: str) -> str:
        """The hash of a password, with its parameters and salt. Raises ServerBusy."""
        with self._turn():
            return self._hasher.hash(_bytes(password))

    def is_right(self, hash: str | None, password: str) -> bool:
        """Whether a password is the one of a hash; False where there is no hash, after the same time.

        Raises ConfigurationError if the hash is none: then somebody has written to the ledger; ServerBusy.
        """
        errors: Any = import_module("argon2.exceptions")
        with self._turn():
            try:
                self._hasher.verify(hash or self._nobodys, _bytes(password[:LENGTH_MAX]))
            except errors.InvalidHashError as error:
                raise ConfigurationError(
                    "the ledger holds a password's hash that Argon2 did not make",
                    hint="rowkeeper users password NAME gives the account another one",
                ) from error
            except errors.VerificationError:
                return False
        return hash is not None and len(password) <= LENGTH_MAX

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """One of the few at a time. Raises ServerBusy: who tries many passwords does not hold up everything else."""
        if not self._turns.acquire(timeout=TURN_SECONDS_MAX):
            raise ServerBusy(
                "very many are signing in at the moment", hint="come again in a second", context={"retry_after": 1}
            )
        try:
            yield
        finally:
            self._turns.release()

    def is_outdated(self, hash: str) -> bool:
        """Whether a hash was made with other parameters than are used today."""
        return bool(self._hasher.check_needs_rehash(hash))


def refuse_weak(password: str, name: str) -> None:
    """Raises PasswordUnfit if a password is too short, too long, or among those that are guessed first.

    There are no rules about classes of letters: they make people choose what guessers try (NIST SP 800-63B, 5.1.1.2).
    """
    if len(password) < LENGTH_MIN:
        raise PasswordUnfit(
            f"the password is shorter than {LENGTH_MIN} letters", hint="four or five random words make a good one"
        )
    if len(password) > LENGTH_MAX:
        raise PasswordUnfit(f"the password is longer than {LENGTH_MAX} letters", hint="choose a shorter one")
    told = library("zxcvbn").zxcvbn(_normal(password)[:ESTIMATED_LENGTH], user_inputs=[name, "rowkeeper"])
    if told["score"] < SCORE_MIN:
        raise PasswordUnfit(
            "the password is among those that are guessed first", hint="four or five random words make a good one"
        )


def library(name: str) -> Any:
    """A library of the extra `server`. Raises ConfigurationError if it is not installed."""
    try:
        return import_module(name)
    except ImportError as missing:
        raise ConfigurationError(
            "accounts with passwords need libraries that are not installed", hint="pip install 'rowkeeper[server]'"
        ) from missing


def _normal(password: str) -> str:
    return unicodedata.normalize("NFKC", password)


def _bytes(password: str) -> bytes:
    return _normal(password).encode(errors="surrogatepass")
