"""What the service says of itself: schemathesis asks whatever the document allows and more, and nothing fails."""

import json

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error

PATHS = {"/v1/predict", "/v1/model", "/livez", "/readyz", "/metrics"}


def check_operations(server, examples: int) -> None:
    schema = schemathesis.openapi.from_dict(json.loads(server.ask("GET", "/openapi.json")[2]))
    schema.config.update(base_url=f"http://127.0.0.1:{server.port}")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert {operation.path for operation in operations} == PATHS
    for operation in operations:
        # What takes nothing cannot be asked wrongly.
        modes = (
            list(schemathesis.GenerationMode)
            if operation.path == "/v1/predict"
            else [schemathesis.GenerationMode.POSITIVE]
        )
        for mode in modes:

            @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case):
                answer = case.call()
                # On a busy machine a deadline that the request itself named may pass.
                if answer.status_code != 504 or "babelens-timeout" not in (case.headers or {}):
                    case.validate_response(answer, checks=[not_a_server_error])

            ask()
    assert server.ask("GET", "/readyz")[0] == 200


def test_nothing_that_the_document_allows_fails(server):
    check_operations(server, 10)


@pytest.mark.long
def test_nothing_of_much_that_the_document_allows_fails(server):
    check_operations(server, 500)
