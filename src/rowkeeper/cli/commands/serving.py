"""`serve`: the API over HTTPS."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.markup import escape

from rowkeeper.cli.door import json_option, out, workspace
from rowkeeper.errors import ConfigurationError

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.argument("files", metavar="[FILE ...]", nargs=-1, type=FILE)
@json_option
def serve(files: tuple[Path, ...], as_json: bool) -> None:
    """Serve the API, and the pipelines of these files, until told to stop.

    With --json, a line with one JSON document when it listens.
    """
    try:
        from rowkeeper.web.serving import Serving  # noqa: PLC0415 - of the extra `server`
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"the server needs {error.name}, which is not installed", hint="pip install 'rowkeeper[server]'"
        ) from error

    with workspace() as space:

        def started(url: str) -> None:
            token = space.authentication.first_user.offer()
            if as_json:
                click.echo(json.dumps({"event": "listening", "url": url, "first_user_token": token}))
                return
            out.print(f"listening at [bold]{escape(url)}[/]")
            if token is not None:
                out.print(
                    f"there are no users yet. From this machine, within an hour, once: POST {escape(url)}"
                    f"/api/v1/first-user with the token [bold]{token}[/]"
                )
            out.file.flush()

        Serving(space, files, started).serve()
