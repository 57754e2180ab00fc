"""What has no place in Rowkeeper, whatever a comment beside it says: `python -m tools.forbidden`, part of `make lint`.

Reading that runs code (pickle, marshal, shelve and what is built on them), code made of text (eval, exec), and shells.
Linters know most of this too, but let a line excuse itself; here a use stands in `MAY`, with its reason, or not at all.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOOKED_AT = ("src", "tools", "bench", "examples", "deploy")
MAY: dict[tuple[str, str], str] = {}
"""(file, what): why it may. Pipeline files are Python, and are imported, by `importlib`: that needs none of these."""

READS_CODE = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "jsonpickle", "joblib"}
SHELLS = {"commands", "pty"}
MODULES = {**dict.fromkeys(READS_CODE, "reads data that runs code"), **dict.fromkeys(SHELLS, "starts shells")}
BUILTINS = {"eval": "runs text", "exec": "runs text"}
CALLS = {
    "os.system": "a shell",
    "os.popen": "a shell",
    "subprocess.getoutput": "a shell",
    "subprocess.getstatusoutput": "a shell",
    "asyncio.create_subprocess_shell": "a shell",
    "builtins.eval": "runs text",
    "builtins.exec": "runs text",
}


def violations(source: str, path: str) -> Iterator[tuple[int, str, str]]:
    """Line, name and reason of each use in a file."""
    tree = ast.parse(source, path)
    names = dict(_imported(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from _of_import(node)
        elif isinstance(node, ast.Call):
            yield from _of_keywords(node)
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield from _of_name(node, names)


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """What each name stands for that the file imports, under whatever name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                yield (
                    each.asname or each.name.partition(".")[0],
                    each.name if each.asname else each.name.partition(".")[0],
                )
        elif isinstance(node, ast.ImportFrom):
            for each in node.names:
                yield each.asname or each.name, f"{node.module}.{each.name}"


def _of_import(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[int, str, str]]:
    modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names]
    for module in modules:
        outermost = module.partition(".")[0]
        if outermost in MODULES and not (isinstance(node, ast.ImportFrom) and node.level):
            yield node.lineno, outermost, MODULES[outermost]


def _of_keywords(node: ast.Call) -> Iterator[tuple[int, str, str]]:
    """`shell=` and `allow_pickle=`, of whatever they are given to, unless they are plainly False."""
    for word, why in (("shell", "a shell"), ("allow_pickle", "reads data that runs code")):
        for each in node.keywords:
            if each.arg == word and not (isinstance(each.value, ast.Constant) and each.value.value is False):
                yield node.lineno, f"{word}=", why


def _of_name(node: ast.Name | ast.Attribute, names: dict[str, str]) -> Iterator[tuple[int, str, str]]:
    """Uses, not only calls: what is handed on is called elsewhere."""
    full = _full(node, names)
    if isinstance(node, ast.Name) and node.id in BUILTINS and node.id not in names:
        yield node.lineno, node.id, BUILTINS[node.id]
    elif full in CALLS:
        yield node.lineno, full, CALLS[full]


def _full(node: ast.expr, names: dict[str, str]) -> str:
    """`sp.run` to `subprocess.run`, if the file says `import subprocess as sp`."""
    if isinstance(node, ast.Attribute):
        return f"{_full(node.value, names)}.{node.attr}"
    return names.get(node.id, node.id) if isinstance(node, ast.Name) else ""


def main(root: Path = ROOT) -> int:
    """Prints what it found; 1 if there was anything, or an exception that nothing needs any more."""
    used: set[tuple[str, str]] = set()
    found = 0
    for path in sorted(each for folder in LOOKED_AT for each in (root / folder).rglob("*.py")):
        relative = str(path.relative_to(root))
        for line, name, why in violations(path.read_text(), relative):
            if (relative, name) in MAY:
                used.add((relative, name))
                continue
            print(f"{relative}:{line}: {name}: {why}")
            found += 1
    for relative, name in MAY.keys() - used:
        print(f"tools/forbidden.py: {relative} does not use {name} any more")
        found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
