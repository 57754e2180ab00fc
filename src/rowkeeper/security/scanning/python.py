"""A pipeline file: its literals, as Python reads them."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

from rowkeeper.configuration.literal import ABOUT_COLUMNS, is_named_like_a_secret, is_placeholder
from rowkeeper.configuration.reference import HOW_TO_MOVE
from rowkeeper.errors import SecretLiteral
from rowkeeper.security.scanning.leak import Leak
from rowkeeper.security.scanning.text import is_allowed, secret_in

HOW_TO_ALLOW = "if it is none, say so at the end of its line: # pragma: allowlist secret"
END_OF_LINE = re.compile(r"\r\n|\r|\n")  # as Python counts them
NAME_OF_A_COLUMN = re.compile(r"[A-Za-z_]+")


def refuse_secrets(path: Path) -> None:
    """Raises SecretLiteral if a Python file has a literal secret, with all their lines.

    A file that is damaged, or cannot be read, is let through: Python tells best what is wrong with it.
    """
    try:
        leaks = sorted(leaks_in_python(path, path.read_bytes()))
    except OSError:
        return
    if leaks:
        rest = sorted({each.line for each in leaks[1:]} - {leaks[0].line})
        more = f" (and line{'s' * (len(rest) > 1)} {', '.join(map(str, rest))})" if rest else ""
        raise SecretLiteral(
            f"{path}, line {leaks[0].line}: {leaks[0].kind}{more}", hint=f"{HOW_TO_MOVE}; {HOW_TO_ALLOW}"
        )


def leaks_in_python(path: Path, source: bytes) -> Iterator[Leak]:
    """The literal secrets of a Python source."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python says it when it runs the file
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    lines = END_OF_LINE.split(source.decode(errors="replace"))
    passed_over = _not_looked_at(tree)
    for node in ast.walk(tree):
        for text, named in () if node in passed_over else _literals(node):
            if text in passed_over:
                continue
            kind = _kind(text, named)
            if kind and not is_allowed(lines, text.lineno, text.end_lineno or text.lineno):
                yield Leak(path, text.lineno, kind)


def _kind(text: ast.Constant | ast.JoinedStr, named: str) -> str | None:
    value = _text(text)
    if named and value and not is_placeholder(value) and not isinstance(text, ast.JoinedStr):
        return f"a literal secret for {named}"
    return None if named else secret_in(value)


def _literals(node: ast.AST) -> Iterator[tuple[ast.Constant | ast.JoinedStr, str]]:
    """The literals at a node: each by itself, and each that is given to a name that says that it is a secret."""
    if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes))):
        yield node, ""
    for name, value in _given(node):
        if is_named_like_a_secret(name) and isinstance(value, ast.Constant) and isinstance(value.value, (str, bytes)):
            yield value, name


def _given(node: ast.AST) -> Iterator[tuple[str, ast.AST | None]]:
    """What is given to names at a node."""
    match node:
        case ast.keyword(arg=str(name), value=value):
            yield name, value
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                yield _name(target), value
        case ast.AnnAssign(target=target, value=value) | ast.NamedExpr(target=target, value=value):
            yield _name(target), value
        case ast.Dict(keys=keys, values=values):
            for key, value in zip(keys, values, strict=True):
                if not _renames(value):
                    yield (str(key.value) if isinstance(key, ast.Constant) else ""), value
        case ast.FunctionDef(args=taken) | ast.AsyncFunctionDef(args=taken) | ast.Lambda(args=taken):
            yield from _defaults(taken)


def _defaults(taken: ast.arguments) -> Iterator[tuple[str, ast.AST | None]]:
    """What a function's parameters are given if the caller gives nothing."""
    named = [*taken.posonlyargs, *taken.args]
    values: list[ast.expr | None] = [*taken.defaults, *taken.kw_defaults]
    named = [*named[len(named) - len(taken.defaults) :], *taken.kwonlyargs]
    for each, value in zip(named, values, strict=True):
        yield each.arg, value


def _name(target: ast.AST) -> str:
    match target:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return name
    return ""


def _renames(value: ast.AST | None) -> bool:
    """In a dict `{"Token": "token"}` gives a column another name, and `{"token": "of the session"}` describes it."""
    if not isinstance(value, ast.Constant) or not isinstance(value.value, str):
        return False
    text = value.value
    return " " in text or (NAME_OF_A_COLUMN.fullmatch(text) is not None and is_named_like_a_secret(text))


def _text(node: ast.Constant | ast.JoinedStr) -> str:
    """The text of a literal; what an f-string puts in is left open."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(each.value) if isinstance(each, ast.Constant) else "{}" for each in node.values)
    return node.value.decode(errors="replace") if isinstance(node.value, bytes) else str(node.value)


def _not_looked_at(tree: ast.AST) -> set[ast.AST]:
    """Docstrings, and other texts that stand alone; pieces of f-strings, of which the whole is; what is of columns."""
    found: set[ast.AST] = set()
    for each in ast.walk(tree):
        if isinstance(each, ast.Expr):
            found.add(each.value)
        elif isinstance(each, ast.JoinedStr):
            found.update(each.values)
        elif isinstance(each, ast.keyword) and each.arg in ABOUT_COLUMNS:
            found.add(each.value)
    return found
