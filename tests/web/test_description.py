"""The description keeps its word: whatever is asked, no answer is outside it, and none is a 5xx."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS

from rowkeeper.web.app import made_app
from tests import extent
from tests.web.site import Site

DOCUMENT = made_app(None).openapi()
SCHEMA = schemathesis.openapi.from_dict(json.loads(json.dumps(DOCUMENT)))
SCHEMA.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
# A body that fits its description may still be no SQL, a reason for a run that is none, and so on.
# Of two ways to sign in it takes one away and leaves the other: test_routes.py asks as nobody, on every route.
NOT_ASKED = {"positive_data_acceptance", "ignored_auth"}
LEFT_OUT = [check for check in CHECKS.get_all() if check.__name__ in NOT_ASKED]
# /health says by its status how the installation is: 503 is its answer here, where a run is held.
BY_STATUS = [*LEFT_OUT, *(check for check in CHECKS.get_all() if check.__name__ == "not_a_server_error")]
EXAMPLES = 200 if extent.whole else 3
OF_THE_TEST = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


@SCHEMA.parametrize()
@hypothesis.settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=not extent.whole,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[*OF_THE_TEST, HealthCheck.function_scoped_fixture],
)
def test_no_answer_is_outside_the_description(case: schemathesis.Case, site: Site):
    """Neither of requests that fit it nor of those that do not: status, media type, headers and document are in it."""
    headers = {"authorization": f"Bearer {site.tokens['admin']}"}
    left_out = BY_STATUS if case.operation.path == "/health" else LEFT_OUT
    case.call_and_validate(base_url=site.url, headers=headers, verify=str(site.ca), excluded_checks=left_out)


def test_the_description_is_openapi_as_it_should_be(site: Site):
    """3.1, and each route says what it asks permissions for; the server serves the same document."""
    assert DOCUMENT["openapi"].startswith("3.1")
    for path, ways in DOCUMENT["paths"].items():
        for way, operation in ways.items():
            assert operation["x-rowkeeper-asks"], (way, path)
            assert operation["description"], (way, path)
    with site.client("none") as client:
        assert client.get("/api/v1/openapi.json").json() == json.loads(json.dumps(DOCUMENT))


def test_the_description_in_the_documentation_is_of_today():
    """docs/openapi.json is written by `python -m tools.openapi`."""
    kept: Any = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text())
    assert kept == json.loads(json.dumps(DOCUMENT))


@pytest.mark.parametrize("name", ["RunDocument", "JobDocument", "UserDocument", "KeyDocument", "Problem"])
def test_documents_are_described(name: str):
    """What people build on has a name in the description."""
    assert name in DOCUMENT["components"]["schemas"]
