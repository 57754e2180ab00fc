"""A literal secret in a pipeline file is refused before the file runs, with its line."""

from __future__ import annotations

import dataclasses
import types
from pathlib import Path

import pytest

import rowkeeper as rk
from rowkeeper.errors import SecretLiteral
from rowkeeper.pipeline import load_file
from rowkeeper.security.scanning.declared import refuse_declared
from rowkeeper.security.scanning.python import leaks_in_python, refuse_secrets
from tests.arena import Arena

CANARY = "canary-of-the-mine"
# Put together here: whole, they would be found in this file.
AWS = "AKIA" + "QWERTYUIOPASDFGH"
GITHUB = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
PEM = "-----BEGIN RSA " + "PRIVATE KEY-----"


def kinds(source: str) -> list[str]:
    return [each.kind for each in leaks_in_python(Path("p.py"), source.encode())]


@pytest.mark.parametrize(
    "source",
    [
        f'password = "{CANARY}"',
        f'db_password: str = "{CANARY}"',
        f'self.api_key = "{CANARY}"',
        f'os.environ["PGPASSWORD_TOKEN"] = "{CANARY}"',
        f'connect(host="h", password="{CANARY}")',
        f'connect(apiKey="{CANARY}")',
        f'connect(secret=b"{CANARY}")',
        f'headers = {{"Authorization": "Bearer.{CANARY}"}}',
        f'def connect(host, password="{CANARY}"): ...',
        f'def connect(*, host, token="{CANARY}"): ...',
        f'if (token := "{CANARY}"): ...',
        f'url = "postgresql://ada:{CANARY}@db/orders"',
        f'url = f"postgresql://ada:{CANARY}@{{host}}/orders"',
        f'url = "postgresql://ada:with/{CANARY}@db/orders"',
        f'url = "postgresql://:{CANARY}@db/orders"',
        f'connect("host=db user=ada password={CANARY}")',
        f'connect("DRIVER={{x}};SERVER=db;UID=ada;PWD={CANARY};")',
        f'read("https://api.example/orders?api_key={CANARY}&page=1")',
        f'read(["s3://{CANARY}:{CANARY}@bucket"])',
        f'x = "see {AWS} there"',
        f'x = "{GITHUB}"',
        f'x = """{PEM}\nMIIB"""',
    ],
)
def test_a_literal_secret_is_found(source: str):
    """Under a secret's name, in a URL, or of a format that says so; once, and never quoted."""
    (kind,) = kinds(source)
    assert CANARY not in kind


@pytest.mark.parametrize(
    "source",
    [
        'password = "env:PGPASS"',
        'connect(password="vault:secret/orders#password")',
        'password = ""',
        "password = os.environ['PGPASS']",
        "password = read()",
        'url = "postgresql://ada@db/orders"',
        'url = "postgresql://ada:{password}@db/orders"',
        'url = f"postgresql://ada:{password}@db/orders"',
        'url = "postgresql://ada:***@db/orders"',
        'rename = {"Token": "token", "Pass Word": "password"}',
        'about = {"token": "of the session"}',
        'rk.destinations.clickhouse("t", order_by=["id"], codecs={"token": "ZSTD(3)"})',
        'key=["id"]; key = "id"; primary_key = "id"; monkey = "abc"; compass = "north"',
        'rk.complete("password")',
        'tokens = "abc"',
        'read("http://registry:8080/@scope/name")',
        'connect(f"host=db password={password}")',
        'print("to log in: password=WORD")',
        '"""Connects to postgresql://ada:secret@db/orders."""',
        'read("data/*.csv")',
    ],
)
def test_what_is_none_is_let_through(source: str):
    """References, what is read or put in later, names of columns, descriptions."""
    assert kinds(source) == []


@pytest.mark.parametrize(
    "source",
    [
        f'password = "{CANARY}"  # pragma: allowlist secret',
        f'# pragma: allowlist nextline secret\npassword = "{CANARY}"',
        f'x = """\n{PEM}\n"""  # pragma: allowlist secret',
    ],
)
def test_a_comment_lets_a_line_through(source: str):
    """The comment of detect-secrets, on the line or on one of its own before it."""
    assert kinds(source) == []


def test_a_comment_lets_no_other_line_through():
    """Neither the one after a line that is allowed, nor one after code with the comment for the next line."""
    assert kinds(f'a = 1  # pragma: allowlist secret\ntoken = "{CANARY}"')
    assert kinds(f'a = 1  # pragma: allowlist nextline secret\ntoken = "{CANARY}"')
    assert kinds(f'token = "{CANARY} # pragma: allowlist secret"; x = 1') == []  # a comment, as detect-secrets has it


def test_the_error_names_file_and_lines_and_how_to_move_it(tmp_path: Path):
    """The first with its kind, the others by their lines, no secret, and the way out."""
    path = tmp_path / "orders.py"
    path.write_text(f'import os\npassword = "{CANARY}"\n\ntoken = "{CANARY}"\nx = "{AWS}"\n')
    with pytest.raises(SecretLiteral) as caught:
        refuse_secrets(path)
    assert caught.value.what == f"{path}, line 2: a literal secret for password (and lines 4, 5)"
    assert "env:NAME" in caught.value.hint
    assert "# pragma: allowlist secret" in caught.value.hint
    assert CANARY not in f"{caught.value.what}{caught.value.hint}"


def test_a_file_with_a_secret_does_not_run(tmp_path: Path):
    """It is refused before its first line is executed."""
    path = tmp_path / "orders.py"
    path.write_text(f'open("{tmp_path}/ran", "w")\npassword = "{CANARY}"\n')
    with pytest.raises(SecretLiteral):
        load_file(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"def (", b"\0", b"\xff\xfe"])
def test_a_damaged_file_is_python_s_to_explain(tmp_path: Path, content: bytes):
    """The scan does not stand before the error that Python makes of it."""
    path = tmp_path / "orders.py"
    path.write_bytes(content)
    refuse_secrets(path)


def test_a_file_that_cannot_be_read_is_python_s_to_explain(tmp_path: Path):
    """As a folder of that name."""
    (tmp_path / "orders.py").mkdir()
    refuse_secrets(tmp_path / "orders.py")


def test_warnings_of_python_are_not_doubled(recwarn: pytest.WarningsRecorder):
    """They are given when the file runs."""
    assert kinds("x = '\\d'") == []
    assert not recwarn.list


def test_lines_are_counted_as_python_does():
    """A form feed ends none; a carriage return does."""
    source = f'a = "\x0c"\rb = 1\r\ntoken = "{CANARY}"\n'.encode()
    assert [each.line for each in leaks_in_python(Path("p.py"), source)] == [3]


PIPELINE = """
import rowkeeper as rk
from pydantic import BaseModel
class Order(BaseModel):
    id: int
def put_together(*parts): return "".join(parts)
orders = rk.Pipeline(
    "orders",
    source={source},
    contract=Order,
    destination=rk.destinations.clickhouse("orders", order_by=["id"]),
)
"""


PUT_TOGETHER = 'rk.sources.files(put_together("ftp://ada:", "canary-put-together", "@files/*.csv"))'


def test_a_url_that_is_put_together_is_refused_where_it_is_handed_over(own_arena: Arena):
    """No rule for texts can see it: the declaration does, and names the line."""
    path = own_arena.write("orders.py", PIPELINE.format(source=PUT_TOGETHER))
    outcome = own_arena.run("run", "orders.py", "--json")
    assert outcome.status == 2, outcome
    assert outcome.json["error"]["code"] == "RK-6010", outcome
    assert f"{path}, line 9" in outcome.json["error"]["what"]
    assert "canary" not in outcome.stdout + outcome.stderr


@dataclasses.dataclass
class Api:
    """A connector of somebody else's."""

    url: str = "https://api.example"
    token: str = "env:TOKEN"
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    inner: object = None


@pytest.mark.parametrize(
    ("declared", "where"),
    [
        (Api(token=CANARY), "source: token"),
        (Api(url=f"https://ada:{CANARY}@api.example"), "source: url"),
        (Api(headers={"Authorization": f"Bearer {CANARY}"}), "source: Authorization"),
        (Api(inner=[Api(token=CANARY)]), "source: token"),
        (types.SimpleNamespace(_options={"password": CANARY}), "source: password"),
    ],
)
def test_what_is_handed_to_a_connector_is_looked_at(declared: object, where: str):
    """Whatever its class, and whatever it is in; the argument is named."""
    with pytest.raises(SecretLiteral, match=f"^{where}: ") as caught:
        refuse_declared(declared, "source")
    assert CANARY not in caught.value.what


def test_columns_may_be_named_like_secrets():
    """What a destination is told of a column is no secret."""
    refuse_declared(rk.destinations.clickhouse("t", order_by=["token"], codecs={"token": "ZSTD(3)"}), "destination")


def test_references_may_be_handed_to_a_connector():
    """They are what belongs there."""
    refuse_declared(Api(headers={"Authorization": "vault:secret/api#token"}, inner=[Api()]), "source")
