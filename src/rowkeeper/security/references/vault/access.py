"""The token with which the vault is asked: one that was given, or one that an AppRole is given for its two ids."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from rowkeeper.errors import SecretUnavailable, SettingsError
from rowkeeper.resilience.clock import Clock
from rowkeeper.security.references.vault.client import VaultClient
from rowkeeper.security.references.vault.term import Term
from rowkeeper.security.secret import Secret

Resolve = Callable[[str], Secret]
HOW_TO_ENTER = "set ROWKEEPER_VAULT_TOKEN, or both ROWKEEPER_VAULT_ROLE_ID and ROWKEEPER_VAULT_SECRET_ID"


@dataclasses.dataclass(frozen=True, slots=True)
class Token:
    """A token in use.

    Attributes:
        own: an AppRole was given it for this process, which gives it back.
    """

    secret: Secret
    own: bool
    renewable: bool
    term: Term


@dataclasses.dataclass(frozen=True, slots=True)
class Credentials:
    """References to what opens the vault: a token, or the ids of an AppRole.

    Raises SettingsError if it is neither, or both.
    """

    token: str | None = None
    role_id: str | None = None
    secret_id: str | None = None
    mount: str = "approle"

    def __post_init__(self) -> None:
        by_role = self.role_id is not None or self.secret_id is not None
        if by_role and (self.role_id is None or self.secret_id is None):
            raise SettingsError("of the vault's AppRole one id is set, and the other is not", hint=HOW_TO_ENTER)
        if by_role == (self.token is not None):
            what = "both a token and an AppRole are" if by_role else "neither a token nor an AppRole is"
            raise SettingsError(f"{what} set for the vault", hint=HOW_TO_ENTER)
        for each in (self.token, self.role_id, self.secret_id):
            if each is not None and each.startswith("vault:"):
                raise SettingsError(f"{each}: what opens the vault cannot be in the vault", hint=HOW_TO_ENTER)


class Access:
    """The token in use, taken at first use.

    Args:
        resolve: follows the references of the credentials.
    """

    def __init__(self, client: VaultClient, credentials: Credentials, resolve: Resolve, clock: Clock) -> None:
        self._client = client
        self._credentials = credentials
        self._resolve = resolve
        self._clock = clock
        self.token: Token | None = None

    def enter(self) -> Token:
        """The token, looked up or logged in for if there is none that lasts.

        Raises SecretUnavailable if the vault refuses, VaultUnreachable if it is down or sealed.
        """
        if self.token is None or not self.token.term.lasts(self._clock.monotonic()):
            self.token = self._look_up() if self._credentials.token else self._log_in()
        return self.token

    def renew(self) -> None:
        """Makes the token last longer; an AppRole whose token may not is given a new one. Raises as `enter` does."""
        token = self.token
        if token is None:
            return
        now = self._clock.monotonic()
        if token.renewable:
            answer = self._client.post("auth/token/renew-self", token.secret.reveal())
            seconds = float(answer.document["auth"]["lease_duration"]) if answer.ok else 0.0
            if answer.ok and (not token.own or seconds >= token.term.full_seconds / 2):  # less: its last end is near
                self.token = dataclasses.replace(token, term=token.term.renewed(seconds, now))
                return
        if not token.own:
            raise self.refused()
        self.token = self._log_in()

    def put_off(self) -> None:
        """The renewal failed, and is tried again in a while."""
        if self.token is not None:
            term = self.token.term.not_renewed(self._clock.monotonic())
            self.token = dataclasses.replace(self.token, term=term)

    def leave(self) -> None:
        """Gives a token of an AppRole back, and with it all that was lent to it."""
        token, self.token = self.token, None
        if token is not None and token.own:
            self._client.post("auth/token/revoke-self", token.secret.reveal())

    def forget(self) -> None:
        """The vault does not know the token any more."""
        self.token = None

    def known(self, token: Token) -> bool:
        """Whether the vault knows this token."""
        return self._client.get("auth/token/lookup-self", token.secret.reveal()).ok

    def _look_up(self) -> Token:
        assert self._credentials.token is not None
        secret = self._resolve(self._credentials.token)
        answer = self._client.get("auth/token/lookup-self", secret.reveal())
        if not answer.ok:
            raise self.refused()
        data = answer.document["data"]
        renewable = bool(data.get("renewable"))
        left = Term.given(float(data.get("ttl") or 0), self._clock.monotonic(), renewable=renewable)
        return Token(secret, False, renewable, left)

    def _log_in(self) -> Token:
        role, secret = self._credentials.role_id, self._credentials.secret_id
        assert role is not None
        assert secret is not None
        answer = self._client.post(
            f"auth/{self._credentials.mount}/login",
            role_id=self._resolve(role).reveal(),
            secret_id=self._resolve(secret).reveal(),
        )
        if not answer.ok:
            raise SecretUnavailable(
                f"the vault at {self._client.address} refuses the AppRole of {role} and {secret}",
                hint=f"the secret id may have run out: bao write -f auth/{self._credentials.mount}/role/ROLE/secret-id",
            )
        given = answer.document["auth"]
        term = Term.given(float(given["lease_duration"]), self._clock.monotonic(), renewable=True)
        return Token(Secret(given["client_token"]), True, bool(given.get("renewable")), term)

    def refused(self) -> SecretUnavailable:
        """The vault does not know the token."""
        whose = self._credentials.token or "the AppRole"
        return SecretUnavailable(
            f"the vault at {self._client.address} refuses the token of {whose}",
            hint="it is wrong, has run out or was revoked, or lacks the policy `default`: bao token create makes one",
        )
