"""The description of the API itself."""

from __future__ import annotations

from typing import Any

from rowkeeper.web.governed import Routes, current_request, whoever_signed_in

routes = Routes("description")


@routes.get("/openapi.json", whoever_signed_in("it is the same for everybody, and in the documentation"))
def describe() -> dict[str, Any]:
    """This description, as OpenAPI 3.1."""
    described: dict[str, Any] = current_request().app.openapi()
    return described
