"""The rules of detect-secrets: formats of vendors, names, random text. They ask nobody outside."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from rowkeeper.configuration.reference import is_reference
from rowkeeper.security.scanning.leak import Leak
from rowkeeper.security.scanning.text import is_allowed

PUBLIC_KEY = re.compile(r"\bpublic_?key\b[\"']?\s*[:=]", re.IGNORECASE)  # as random as a private one, and no secret
NOT_USED = {"IPPublicDetector"}  # an address is no secret
SAID_BETTER = {"Basic Auth Credentials": "a password in a URL", "Secret Keyword": "a literal under a secret's name"}


def installed() -> bool:
    """Whether detect-secrets is: it comes with `rowkeeper[scan]`."""
    return find_spec("detect_secrets") is not None


def leaks_by_rules(paths: list[Path]) -> Iterator[Leak]:
    """What looks like a secret in these files."""
    scan = import_module("detect_secrets.core.scan")
    plugins = import_module("detect_secrets.core.plugins.util").get_mapping_from_secret_type_to_class()
    names = sorted({plugin.__name__ for plugin in plugins.values()} - NOT_USED)
    settings = import_module("detect_secrets.settings")
    with settings.transient_settings({"plugins_used": [{"name": name} for name in names]}):
        for path in paths:
            lines = path.read_text(errors="replace").splitlines()
            for found in scan.scan_file(str(path)):
                is_none = found.secret_value and is_reference(found.secret_value)
                is_none = is_none or PUBLIC_KEY.search(lines[found.line_number - 1])
                if is_none or is_allowed(lines, found.line_number, found.line_number):  # of YAML it sees no line before
                    continue
                kind = SAID_BETTER.get(found.type, f"what looks like a secret: {found.type}")
                yield Leak(path, found.line_number, kind, certain=False)
