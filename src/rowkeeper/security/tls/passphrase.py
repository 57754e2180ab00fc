"""The passphrase of a key, from where its reference says."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from rowkeeper.errors import CertificateUnusable
from rowkeeper.security.secret import Secret


def passphrase_of(reference: str) -> Secret:
    """Follows `env:NAME` or `file:PATH`. Raises CertificateUnusable if there is nothing, or it is open to others."""
    scheme, _, place = reference.partition(":")
    if scheme == "env":
        text = os.environ.get(place, "")
    elif scheme == "file":
        text = _of_file(Path(place).expanduser())
    else:
        raise CertificateUnusable("the passphrase is given as no reference", hint="write env:NAME or file:PATH")
    if not text:
        raise CertificateUnusable(
            f"there is no passphrase at {reference}", hint="put it there, or name another place: env:NAME or file:PATH"
        )
    return Secret(text)


def _of_file(path: Path) -> str:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text()
    except OSError as error:
        raise CertificateUnusable(
            f"the passphrase file {path} cannot be read: {error.strerror}", hint="put it there, 0600"
        ) from error
    if mode & 0o077:
        raise CertificateUnusable(
            f"the passphrase file {path} is open to others (mode {mode:04o})", hint=f"chmod 600 {path}"
        )
    return text.rstrip("\r\n")
