"""Signing in at an identity provider: a real one on loopback, honest and not."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc.jwk import RSAKey

from rowkeeper.access.authentication.configured import provider_of
from rowkeeper.access.authentication.oidc import Started
from rowkeeper.caller import CallerKind
from rowkeeper.errors import AuthenticationFailed, ProviderRefused, ProviderUnusable, SettingsError
from rowkeeper.ledger.audit import Outcome
from rowkeeper.runs.reaching import gateway_of
from rowkeeper.settings import Settings
from tests.access.authentication.identity_provider import (
    CLIENT,
    REDIRECT,
    SECRET,
    IdentityProvider,
    encoded,
    signed_by,
)
from tests.access.authentication.installation import HERE, Clock, Installation, opened


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def provider(clock: Clock) -> Iterator[IdentityProvider]:
    made = IdentityProvider(clock)
    yield made
    made.close()


@pytest.fixture
def here(
    tmp_path: Path, clock: Clock, provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Installation]:
    """An installation where Ann has an account without a password."""
    monkeypatch.setenv("OIDC_SECRET", SECRET)
    with installed(tmp_path, clock, provider) as made:
        made.add("ann", password=None)
        yield made


def installed(tmp_path: Path, clock: Clock, provider: IdentityProvider, **more: Any):
    settings = Settings(
        home=tmp_path / "state",
        oidc_issuer=provider.issuer,
        oidc_client_id=CLIENT,
        oidc_client_secret="env:OIDC_SECRET",
        oidc_redirect_url=REDIRECT,
        **more,
    )
    made = functools.partial(provider_of, settings, gateway_of(settings), clock, clock.steady)
    return opened(tmp_path / "state", clock, provider=made)


def answer_of(started: Started) -> dict[str, str]:
    """A browser goes to the provider, which sends it back with this."""
    response = httpx.get(started.url, trust_env=False)
    assert response.status_code == 302
    back = urlsplit(response.headers["location"])
    assert f"{back.scheme}://{back.netloc}{back.path}" == REDIRECT
    return {name: values[0] for name, values in parse_qs(back.query).items()}


def signs_in(here: Installation, **changed: Any):
    """All the way, unless something of the answer is changed."""
    started = here.authentication.oidc.start()
    answer = answer_of(started) | changed
    browser = answer.get("browser", started.browser)
    return here.authentication.oidc.finish(answer["state"], answer["code"], browser, HERE, issuer=answer.get("iss"))


def refused(here: Installation, **changed: Any) -> str:
    """Why, as the audit trail has it; and the answer to whoever asks is the same for all."""
    with pytest.raises(ProviderRefused) as caught:
        signs_in(here, **changed)
    assert isinstance(caught.value, AuthenticationFailed)
    entry = here.told("session.begin")[-1]
    assert (entry.event.outcome, entry.event.detail["by"]) == (Outcome.REFUSED, "oidc")
    return str(entry.event.detail["why"])


def test_somebody_of_the_provider_signs_in(here: Installation):
    """With a code that only we can turn into a token; the session is as any other."""
    session = signs_in(here)
    caller = here.by_session(session.secret)
    assert (str(caller), caller.roles) == ("user:ann", {"viewer"})
    assert here.told("session.begin")[-1].event.detail["by"] == "oidc"
    assert [each.event.action for each in here.told("user.identify")] == ["user.identify"]
    signs_in(here)
    assert len(here.told("user.identify")) == 1


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_both_kinds_of_keys(here: Installation, provider: IdentityProvider, algorithm: str):
    """RSA and elliptic curves."""
    provider.algorithm = algorithm
    provider.rotate()
    signs_in(here)


# ------------------------------------------------------------------------------------------ the answer


def test_a_wrong_state(here: Installation):
    """One that we did not make, and one that was used."""
    assert refused(here, state="x" * 43) == "state"
    assert refused(here, state="\ud800") == "state"


def test_another_browser(here: Installation):
    """An attacker's answer in a victim's browser signs nobody in; and the attempt is over by it."""
    started = here.authentication.oidc.start()
    answer = answer_of(started)
    for browser in ("", "x" * 43, started.browser):
        with pytest.raises(ProviderRefused):
            here.authentication.oidc.finish(answer["state"], answer["code"], browser, HERE)


def test_an_answer_is_good_once(here: Installation):
    """The same answer again, in the same browser."""
    started = here.authentication.oidc.start()
    answer = answer_of(started)
    here.authentication.oidc.finish(answer["state"], answer["code"], started.browser, HERE)
    with pytest.raises(ProviderRefused):
        here.authentication.oidc.finish(answer["state"], answer["code"], started.browser, HERE)


def test_a_replayed_code(here: Installation, provider: IdentityProvider):
    """A code of another attempt: the provider finds that our verifier is not the one that it was given for."""
    stolen = answer_of(here.authentication.oidc.start())["code"]
    assert refused(here, code=stolen) == "code"
    assert provider.asked["/token"] == 1


def test_an_answer_that_comes_too_late(here: Installation):
    """Ten minutes after it was begun."""
    started = here.authentication.oidc.start()
    answer = answer_of(started)
    here.clock.pass_by(minutes=10)
    with pytest.raises(ProviderRefused):
        here.authentication.oidc.finish(answer["state"], answer["code"], started.browser, HERE)


def test_an_answer_of_another_issuer(here: Installation, provider: IdentityProvider):
    """RFC 9207: the code is not shown to the wrong one."""
    assert refused(here, iss="https://evil.example") == "issuer of the answer"
    assert "/token" not in provider.asked


def test_an_answer_without_a_code(here: Installation):
    """The person said no."""
    assert refused(here, code=None) == "no code"


def test_the_ledger_holds_no_secret_of_an_attempt(here: Installation):
    """Neither state, nor verifier, nor what the browser has."""
    started = here.authentication.oidc.start()
    state = parse_qs(urlsplit(started.url).query)["state"][0]
    stored = b"".join(path.read_bytes() for path in here.home.rglob("ledger.sqlite*"))
    assert state.encode() not in stored
    assert started.browser.encode() not in stored
    assert started.browser not in started.url


# ------------------------------------------------------------------------------------------- the token


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"nonce": "of another attempt"}, "nonce"),
        ({"nonce": None}, "MissingClaimError"),
        ({"nonce": 7}, "nonce"),
        ({"iss": "https://evil.example"}, "InvalidClaimError"),
        ({"iss": None}, "MissingClaimError"),
        ({"aud": "another"}, "InvalidClaimError"),
        ({"aud": None}, "MissingClaimError"),
        ({"aud": []}, "InvalidClaimError"),
        ({"aud": [CLIENT, "another"]}, "azp"),
        ({"aud": [CLIENT, "another"], "azp": "another"}, "azp"),
        ({"azp": "another"}, "azp"),
        ({"exp": 0}, "ExpiredTokenError"),
        ({"exp": None}, "MissingClaimError"),
        ({"exp": "tomorrow"}, "InvalidClaimError"),
        ({"iat": 10**10}, "InvalidClaimError"),
        ({"iat": 0}, "iat"),
        ({"iat": None}, "MissingClaimError"),
        ({"nbf": 10**10}, "InvalidClaimError"),
        ({"sub": None}, "MissingClaimError"),
        ({"sub": ""}, "InvalidClaimError"),
        ({"sub": 7}, "InvalidClaimError"),
        ({"sub": "x" * 256}, "sub"),
    ],
)
def test_claims_that_do_not_hold(here: Installation, provider: IdentityProvider, claims: dict[str, Any], why: str):
    """Signed by the provider, and yet not for us, not now, or not for this attempt."""
    provider.claims = claims
    assert refused(here) == why


def test_several_audiences_that_name_us(here: Installation, provider: IdentityProvider):
    """With `azp`, as the standard asks."""
    provider.claims = {"aud": [CLIENT, "another"], "azp": CLIENT}
    signs_in(here)


def test_an_expired_token(here: Installation, provider: IdentityProvider):
    """Half a minute of grace for clocks, and no more."""
    now = int(here.clock().timestamp())
    provider.claims = {"exp": now - 29}
    signs_in(here)
    provider.claims = {"exp": now - 31}
    assert refused(here) == "ExpiredTokenError"


def test_alg_none(here: Installation, provider: IdentityProvider):
    """No signature is no signature, however it is written."""
    for name in ("none", "None", "NONE", "nOnE", ""):
        provider.sign = lambda header, claims, name=name: f"{encoded({**header, 'alg': name})}.{encoded(claims)}."
        assert refused(here).endswith("Error")


def test_hs256_with_the_public_key(here: Installation, provider: IdentityProvider):
    """The published key is no secret that something could be signed with."""
    for published in (provider.key.as_pem(private=False), str(provider.key.as_dict(private=False)).encode()):

        def sign(header: dict[str, Any], claims: dict[str, Any], key: bytes = published) -> str:
            text = f"{encoded({**header, 'alg': 'HS256'})}.{encoded(claims)}"
            digest = hmac.new(key, text.encode(), hashlib.sha256).digest()
            return f"{text}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"

        provider.sign = sign
        assert refused(here).endswith("Error")


def test_a_key_of_somebody_else(here: Installation, provider: IdentityProvider):
    """Under the name of the provider's, under another, brought along in the token, or at a URL of theirs."""
    other = RSAKey.generate_key(2048, {"kid": provider.key.kid})
    provider.sign = signed_by(other, "RS256")
    assert refused(here) == "BadSignatureError"
    for header in (
        {"kid": "other"},
        {"kid": "other", "jwk": other.as_dict(private=False)},
        {"jku": "http://127.0.0.1:9/"},
    ):
        provider.header = header
        assert refused(here) in ("key", "BadSignatureError")


def test_a_token_that_was_changed(here: Installation, provider: IdentityProvider):
    """One letter of it, or its parts put together anew."""

    def change(header: dict[str, Any], claims: dict[str, Any]) -> str:
        token = signed_by(provider.key, "RS256")(header, claims)
        first, _, last = token.split(".")
        return f"{first}.{encoded({**claims, 'preferred_username': 'admin'})}.{last}"

    provider.sign = change
    assert refused(here) == "BadSignatureError"


@pytest.mark.parametrize(
    "token", ["", "x", "a.b.c", "..", "\u00e9.x.y", "e30.e30.e30", "e30", "[]", "W10.e30.x", "x" * 100_000]
)
def test_what_is_no_token(here: Installation, provider: IdentityProvider, token: str):
    """Refused as any other."""
    provider.sign = lambda header, claims: token
    assert refused(here)


def test_keys_that_change_at_the_provider(here: Installation, provider: IdentityProvider):
    """An unknown key is looked up; its token is taken, and one of the former key is not any more."""
    signs_in(here)
    former = provider.key
    provider.rotate()
    here.clock.pass_by(seconds=5)
    signs_in(here)
    assert provider.asked["/keys"] == 2
    provider.header, provider.sign = {"kid": former.kid}, signed_by(former, "RS256")
    here.clock.pass_by(seconds=5)
    assert refused(here) == "key"


def test_unknown_keys_do_not_make_us_ask_without_end(here: Installation, provider: IdentityProvider):
    """Once in five seconds."""
    provider.header = {"kid": "unknown"}
    for _ in range(5):
        assert refused(here) == "key"
    assert provider.asked["/keys"] == 1
    here.clock.pass_by(seconds=5)
    assert refused(here) == "key"
    assert provider.asked["/keys"] == 2


# -------------------------------------------------------------------------------------- whose account


def test_after_the_first_time_the_subject_counts(here: Installation, provider: IdentityProvider):
    """A name at the provider passes to somebody else: he does not get the account with it, and she keeps it."""
    signs_in(here)
    provider.person["sub"] = "another"
    assert refused(here) == "is another's"
    provider.person |= {"sub": "8f1c", "preferred_username": "ann-lee"}
    assert signs_in(here).user == "ann"


def test_an_account_with_a_password_is_not_taken_over(here: Installation, provider: IdentityProvider):
    """Whoever calls himself admin at the provider is not the admin here; unless an admin binds him."""
    here.add("admin", "admin")
    provider.person = {"sub": "eve", "preferred_username": "admin"}
    assert refused(here) == "has a password"
    here.authentication.identities.bind("admin", "eve")
    assert signs_in(here).user == "admin"
    assert here.authentication.identities.loose("admin")
    assert refused(here) == "has a password"


def test_who_has_no_account_is_refused(here: Installation, provider: IdentityProvider):
    """Also a disabled one, a service, and a name that could be none."""
    here.ledger.users.add("loader", CallerKind.SERVICE)
    for claims, why in (
        ({"preferred_username": "bob"}, "no account"),
        ({"preferred_username": "loader"}, "a service"),
        ({"preferred_username": None}, "user claim"),
        ({"preferred_username": ["ann"]}, "user claim"),
        ({"preferred_username": "../ann"}, "user claim"),
    ):
        provider.claims = claims
        assert refused(here) == why
    provider.claims = {}
    here.ledger.users.set_enabled("ann", False)
    assert refused(here) == "disabled"


def test_accounts_are_made_if_that_is_set(tmp_path: Path, clock: Clock, provider: IdentityProvider, monkeypatch):
    """Without roles, and found by a verified address alone."""
    monkeypatch.setenv("OIDC_SECRET", SECRET)
    with installed(tmp_path, clock, provider, oidc_create=True, oidc_user_claim="email") as here:
        provider.person["email_verified"] = False
        assert refused(here) == "email not verified"
        provider.person["email_verified"] = "true"
        assert refused(here) == "email not verified"
        provider.person["email_verified"] = True
        assert here.by_session(signs_in(here).secret).roles == frozenset()
        assert here.ledger.users.get("ann@example.org").kind is CallerKind.USER


def test_roles_of_a_claim(tmp_path: Path, clock: Clock, provider: IdentityProvider, monkeypatch):
    """Given and taken at each signing in; a role that no value stands for is left alone; loss ends the sessions."""
    monkeypatch.setenv("OIDC_SECRET", SECRET)
    roles = {"data-team": "operator", "audit-team": "security officer"}
    with installed(tmp_path, clock, provider, oidc_roles_claim="groups", oidc_roles=roles) as here:
        here.add("ann", "viewer", password=None)
        provider.person["groups"] = ["data-team", "audit-team", "football", 7]
        first = signs_in(here)
        assert here.by_session(first.secret).roles == {"viewer", "operator", "security officer"}
        provider.person["groups"] = "data-team"
        second = signs_in(here)
        assert here.by_session(second.secret).roles == {"viewer", "operator"}
        here.clock.pass_by(seconds=1)
        with pytest.raises(AuthenticationFailed):
            here.by_session(first.secret)
        provider.person["groups"] = None
        assert here.by_session(signs_in(here).secret).roles == {"viewer"}


# --------------------------------------------------------------------------------------- the provider


@pytest.mark.parametrize(
    "said",
    [
        {"issuer": "https://evil.example"},
        {"issuer": None},
        {"authorization_endpoint": None},
        {"authorization_endpoint": "http://idp.example/authorize"},
        {"token_endpoint": "http://idp.example/token"},
        {"token_endpoint": "https://user:pw@idp.example/token"},
        {"jwks_uri": "javascript:alert(1)"},
        {"jwks_uri": ["x"]},
        {"code_challenge_methods_supported": ["plain"]},
    ],
)
def test_what_a_provider_may_not_say_of_itself(here: Installation, provider: IdentityProvider, said: dict[str, Any]):
    """Another issuer, no TLS, no PKCE: nobody is sent there."""
    provider.document = said
    with pytest.raises(ProviderUnusable):
        here.authentication.oidc.start()


def test_places_that_nobody_declared_are_not_asked(here: Installation, provider: IdentityProvider):
    """A provider that names a place inside the network as its own does not make us go there."""
    provider.document = {"token_endpoint": "http://127.0.0.1:9/token"}
    started = here.authentication.oidc.start()
    answer = answer_of(started)
    with pytest.raises(ProviderUnusable, match="cannot be asked"):
        here.authentication.oidc.finish(answer["state"], answer["code"], started.browser, HERE)


def test_a_provider_that_is_down(here: Installation, provider: IdentityProvider):
    """Is told as that; passwords go on."""
    provider.close()
    with pytest.raises(ProviderUnusable):
        here.authentication.oidc.start()
    here.add("bob")
    assert here.login("bob").user == "bob"


def test_a_wrong_client_secret(here: Installation, monkeypatch: pytest.MonkeyPatch):
    """The provider refuses; the secret is in no error."""
    monkeypatch.setenv("OIDC_SECRET", "another secret of ours")
    with pytest.raises(ProviderRefused) as caught:
        signs_in(here)
    assert "another secret" not in f"{caught.value.what} {caught.value.hint} {caught.value.context}"


@pytest.mark.parametrize(
    "wrong",
    [
        {"oidc_client_id": None},
        {"oidc_redirect_url": None},
        {"oidc_issuer": "http://idp.example"},
        {"oidc_redirect_url": "http://rowkeeper.example/cb"},
    ],
)
def test_settings_that_do_not_fit_together(tmp_path: Path, wrong: dict[str, Any]):
    """Are told when somebody would sign in, by the name of the setting."""
    given = {"oidc_issuer": "https://idp.example", "oidc_client_id": "x", "oidc_redirect_url": REDIRECT} | wrong
    settings = Settings(home=tmp_path, **given)
    with pytest.raises(SettingsError):
        provider_of(settings, gateway_of(settings), Clock())
    unset = Settings(home=tmp_path)
    with pytest.raises(ProviderUnusable):
        provider_of(unset, gateway_of(unset), Clock())
