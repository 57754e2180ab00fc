"""Writes docs/openapi.json: the description of the API, for those who have no server to ask."""

import json
from pathlib import Path

from rowkeeper.web.app import made_app

if __name__ == "__main__":
    document = json.dumps(made_app(None).openapi(), indent=1, ensure_ascii=False)
    Path("docs/openapi.json").write_text(f"{document}\n", encoding="utf-8")
