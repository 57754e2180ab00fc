"""A secret in memory is shown to nobody by accident."""

from __future__ import annotations

import copy
import dataclasses
import gc
import io
import json
import logging
import pickle
import pprint
import traceback
from typing import Any

import msgspec
import pytest
from pydantic import TypeAdapter
from rich.console import Console
from rich.traceback import Traceback

from rowkeeper.logs.secrets import learn_environment, scrubbed
from rowkeeper.security.secret import Secret

CANARY = "canary-of-the-mine"


@dataclasses.dataclass
class Login:
    user: str
    password: Secret


SHOWN: dict[str, Any] = {
    "repr": repr,
    "str": str,
    "f-string": lambda secret: f"{secret} {secret!r} {secret!s} {secret:>40}",
    "percent": lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 - the way under test
    "containers": lambda secret: repr([secret, (secret,), {"a": secret}]),
    "dataclass": lambda secret: repr(Login("ada", secret)),
    "pprint": lambda secret: pprint.pformat({"a": [Login("ada", secret)]}),
    "json with default=str": lambda secret: json.dumps([secret], default=str),
    "exception": lambda secret: "".join(traceback.format_exception(ValueError(secret))),
    "attributes": lambda secret: repr([getattr(secret, name) for name in dir(secret)]),
    "slots": lambda secret: repr([getattr(secret, name, None) for name in type(secret).__slots__]),
    "referents": lambda secret: repr(gc.get_referents(secret)),
}
REFUSED: dict[str, Any] = {
    "json": lambda secret: json.dumps({"a": secret}),
    "msgspec": lambda secret: msgspec.json.encode({"a": secret}),
    "pydantic": lambda secret: TypeAdapter(Any).dump_json({"a": secret}),
    "pickle": pickle.dumps,
    "pickle of what holds it": lambda secret: pickle.dumps([Login("ada", secret)]),
    "copy": copy.copy,
    "deepcopy": lambda secret: copy.deepcopy({"a": secret}),
    "state": lambda secret: secret.__getstate__(),
    "asdict": lambda secret: dataclasses.asdict(Login("ada", secret)),
    "astuple": lambda secret: dataclasses.astuple(Login("ada", secret)),
    "equal": lambda secret: secret == CANARY,
    "unequal": lambda secret: secret != Secret(CANARY),
    "of dataclasses": lambda secret: Login("ada", secret) == Login("ada", Secret(CANARY)),
    "in": lambda secret: CANARY in [secret],
    "hash": hash,
    "order": lambda secret: sorted([secret, Secret(CANARY)]),
    "length": len,
    "bytes": bytes,
    "plus": lambda secret: "user:" + secret,
    "vars": vars,
    "change": lambda secret: setattr(secret, "_reveal", None),
    "delete": lambda secret: delattr(secret, "_reveal"),
}


@pytest.mark.parametrize("way", SHOWN)
def test_what_shows_everything_shows_no_secret(way: str):
    """Each way to a text gives one without it."""
    assert CANARY not in SHOWN[way](Secret(CANARY))


@pytest.mark.parametrize("way", REFUSED)
def test_what_would_carry_it_off_is_refused(way: str):
    """Each way to store, copy or compare it raises, without its text."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - each library has an error of its own
        REFUSED[way](Secret(CANARY))
    assert CANARY not in "".join(traceback.format_exception(caught.value.with_traceback(None)))


def test_rich_shows_locals_without_it():
    """A traceback with the values of local variables, as Rich prints it, shows none."""
    secret = Secret(CANARY)
    held = [Login("ada", secret)]
    try:
        raise ValueError(f"{held} failed")
    except ValueError:
        shown = io.StringIO()
        Console(file=shown, width=200).print(Traceback(show_locals=True))
    assert "Secret([secret])" in shown.getvalue()
    assert CANARY not in shown.getvalue().replace("CANARY", "")


def test_logging_shows_no_secret(caplog: pytest.LogCaptureFixture):
    """Neither as an argument nor as an extra."""
    with caplog.at_level(logging.INFO):
        logging.getLogger("x").info("with %s %r", Secret(CANARY), {"a": Secret(CANARY)})
    assert "[secret]" in caplog.text
    assert CANARY not in caplog.text


def test_it_is_scrubbed_from_what_others_say():
    """From its making on its text is taken out of every message, also as JSON, HTML or a URL would write it."""
    Secret('sesame "open" <now>')
    said = 'sesame "open" <now> | sesame \\"open\\" <now> | sesame%20%22open%22%20%3Cnow%3E'
    assert scrubbed(said) == "[secret] | [secret] | [secret]"


@pytest.mark.parametrize("password", ["with/a-slash", "with@an-at", "with%2Fa-code"])
def test_the_password_of_a_url_in_the_environment_is_scrubbed(monkeypatch: pytest.MonkeyPatch, password: str):
    """As it is written there, wherever it is said."""
    monkeypatch.setenv("DATABASE_URL", f"postgresql://ada:{password}@db/orders")
    learn_environment()
    assert scrubbed(f"it said {password}") == "it said [secret]"


def test_references_in_the_environment_may_be_told(monkeypatch: pytest.MonkeyPatch):
    """Although the variable is named like a secret."""
    monkeypatch.setenv("ROWKEEPER_VAULT_TOKEN", "file:/run/the/token-of-tests")
    learn_environment()
    assert scrubbed("file:/run/the/token-of-tests cannot be read") == "file:/run/the/token-of-tests cannot be read"


def test_lines_of_a_private_key_are_scrubbed():
    """A message that quotes one line of a secret of several lines does not show it."""
    Secret("-----BEGIN KEY-----\nMIIBVgIBADANBgkqhkiG9w0B\nAQEFAASCAUAwggE8AgEAAkEA\n-----END KEY-----")
    assert scrubbed("at line 2: MIIBVgIBADANBgkqhkiG9w0B") == "at line 2: [secret]"


def test_reveal_gives_it():
    """The one way to its text, on purpose."""
    assert Secret(CANARY).reveal() == CANARY


def test_it_has_no_subclasses():
    """A subclass could show it."""
    with pytest.raises(TypeError):
        type("Leaky", (Secret,), {})
