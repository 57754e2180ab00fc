"""A second factor: codes by time that pass once, recovery codes for a lost device, a secret that is sealed."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest

from rowkeeper.caller import acting
from rowkeeper.errors import AuthenticationFailed, CredentialUnfit, SealBroken, SecondFactorRequired
from rowkeeper.security.keysets import LOGIN
from tests.access.authentication.installation import OTHER, PASSWORD, Installation


@pytest.fixture
def device(here: Installation) -> pyotp.TOTP:
    """Ann's authenticator, confirmed, a minute ago."""
    here.add()
    totp, _ = enrolled(here)
    here.clock.pass_by(minutes=1)
    return totp


def code_of(device: pyotp.TOTP, here: Installation, steps: int = 0) -> str:
    """What it shows now, or so many steps later."""
    return device.at(here.clock() + timedelta(seconds=30 * steps))


def enrolled(here: Installation) -> tuple[pyotp.TOTP, list[str]]:
    made = here.authentication.factors.enrol("ann")
    totp = pyotp.parse_uri(made.uri)
    assert isinstance(totp, pyotp.TOTP)
    codes = here.authentication.factors.confirm("ann", code_of(totp, here))
    return totp, codes


def test_a_code_is_wanted_besides_the_password(here: Installation, device: pyotp.TOTP):
    """And asked for only if the password was right: that there is a second factor is nobody else's to know."""
    with pytest.raises(SecondFactorRequired):
        here.login()
    with pytest.raises(AuthenticationFailed):
        here.login(password=OTHER)
    session = here.login(code=code_of(device, here))
    assert here.by_session(session.secret).name == "ann"
    assert here.told("session.begin")[-1].event.detail["second_factor"] is True


def test_a_right_code_does_not_make_up_for_a_wrong_password(here: Installation, device: pyotp.TOTP):
    """Both are wanted."""
    with pytest.raises(AuthenticationFailed):
        here.login(password=OTHER, code=code_of(device, here))


def test_a_code_that_was_used_is_refused(here: Installation, device: pyotp.TOTP):
    """The same one again, and one that is older than it, also by another process."""
    used = code_of(device, here)
    here.login(code=used)
    with here.another_process() as other:
        for code in (used, code_of(device, here, -1)):
            with pytest.raises(AuthenticationFailed):
                other.login(code=code)
    here.clock.pass_by(seconds=30)
    here.login(code=code_of(device, here))


def test_the_code_of_the_enrolment_is_used(here: Installation):
    """Who looked over a shoulder at it cannot sign in with it."""
    here.add()
    totp, _ = enrolled(here)
    with pytest.raises(AuthenticationFailed):
        here.login(code=code_of(totp, here))


@pytest.mark.parametrize("steps", [-1, 0, 1])
def test_a_clock_may_be_half_a_minute_off(here: Installation, device: pyotp.TOTP, steps: int):
    """Either way."""
    here.login(code=code_of(device, here, steps))


@pytest.mark.parametrize("steps", [-3, -2, 2, 3])
def test_but_no_further(here: Installation, device: pyotp.TOTP, steps: int):
    """An old code is no code."""
    with pytest.raises(AuthenticationFailed):
        here.login(code=code_of(device, here, steps))


@pytest.mark.parametrize(
    "code", ["000000x", "1234567", "abcdef", "\u0661\u0662\u0663\u0664\u0665\u0666", "\ud800", "-1"]
)
def test_what_is_no_code_is_refused(here: Installation, device: pyotp.TOTP, code: str):
    """With the one answer there is."""
    del device
    with pytest.raises(AuthenticationFailed):
        here.login(code=code)


def test_wrong_codes_lock_as_wrong_passwords_do(here: Installation, device: pyotp.TOTP):
    """A million codes are not tried: who has the password waits from the fifth on."""
    right = code_of(device, here)
    wrong = f"{(int(right) + 500_000) % 1_000_000:06}"
    for _ in range(5):
        with pytest.raises(AuthenticationFailed):
            here.login(code=wrong)
    with pytest.raises(AuthenticationFailed):
        here.login(code=right)


def test_a_recovery_code_stands_in_once(here: Installation):
    """However it is typed; the others stay; and the trail says that it was one."""
    here.add()
    _, codes = enrolled(here)
    here.login(code=codes[0].upper().replace("-", " "))
    assert here.told("session.begin")[-1].event.detail["recovery_code"] is True
    with pytest.raises(AuthenticationFailed):
        here.login(code=codes[0])
    here.login(code=codes[1])
    found = here.authentication.factors.find("ann")
    assert found is not None
    assert found.recovery_codes == 8


def test_a_recovery_code_is_of_one_account(here: Installation):
    """Bob's does not open Ann's."""
    here.add("bob")
    here.add("ann")
    _, codes = enrolled(here)
    made = here.authentication.factors.enrol("bob")
    here.authentication.factors.confirm("bob", code_of(pyotp.TOTP(made.secret), here))
    with pytest.raises(AuthenticationFailed):
        here.login("bob", code=codes[0])


def test_what_is_told_once_is_in_no_file(here: Installation):
    """The secret is sealed, recovery codes are hashed; the URI names account and issuer."""
    here.add()
    made = here.authentication.factors.enrol("ann")
    codes = here.authentication.factors.confirm("ann", code_of(pyotp.TOTP(made.secret), here))
    uri = urlsplit(made.uri)
    assert (uri.scheme, uri.netloc, uri.path) == ("otpauth", "totp", "/Rowkeeper:ann")
    assert parse_qs(uri.query) == {"secret": [made.secret], "issuer": ["Rowkeeper"]}
    stored = b"".join(path.read_bytes() for path in here.home.rglob("*") if path.is_file())
    assert not [
        each for each in (made.secret, *codes, *(code.replace("-", "") for code in codes)) if each.encode() in stored
    ]
    assert made.secret not in repr(made)


def test_an_enrolment_that_nobody_confirmed_asks_for_nothing(here: Installation):
    """A wrong first code leaves it so; a new enrolment takes its place."""
    here.add()
    here.authentication.factors.enrol("ann")
    with pytest.raises(CredentialUnfit):
        here.authentication.factors.confirm("ann", "000000")
    here.login()
    enrolled(here)
    with pytest.raises(SecondFactorRequired):
        here.login()


def test_a_factor_in_force_is_not_replaced_unasked(here: Installation, device: pyotp.TOTP):
    """It has to be taken away first, which for oneself takes password and code."""
    with pytest.raises(CredentialUnfit):
        here.authentication.factors.enrol("ann")
    session = here.login(code=code_of(device, here))
    here.clock.pass_by(seconds=30)
    with acting(here.by_session(session.secret)):
        for password, code in ((PASSWORD, None), (PASSWORD, "000000"), (OTHER, code_of(device, here))):
            with pytest.raises(AuthenticationFailed):
                here.authentication.factors.remove("ann", password, code)
        assert here.authentication.factors.remove("ann", PASSWORD, code_of(device, here))
    here.login()


def test_a_secret_that_was_moved_to_another_account_does_not_open(here: Installation, device: pyotp.TOTP):
    """Somebody who writes to the ledger gives Bob his own, or Ann's: the account is bound in."""
    del device
    import sqlite3

    here.add("bob")
    with sqlite3.connect(here.home / "ledger.sqlite") as database:
        database.execute("UPDATE second_factors SET user = 'bob'")
    with pytest.raises(SealBroken):
        here.login("bob", code="123456")


def test_keys_rotate_below_second_factors(here: Installation, device: pyotp.TOTP):
    """What an older key seals is read, and sealed anew at the next login; then nothing hangs on the older one."""
    before = here.keysets.of(LOGIN).primary.id
    here.keysets.rotate(LOGIN)
    assert here.ledger.signing_in.factors.key_ids() == {before: 1}
    here.login(code=code_of(device, here))
    after = here.keysets.of(LOGIN).primary.id
    assert here.ledger.signing_in.factors.key_ids() == {after: 1} != {before: 1}
    here.keysets.revoke(LOGIN, before, None)
    here.clock.pass_by(seconds=30)
    here.login(code=code_of(device, here))
