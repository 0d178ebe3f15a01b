"""The OpenAPI document is valid, says what the service does, and the service does what it says."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from serving import openapi, openapi_pictures
from serving.app import Api
from serving.schema import GenerateRequest, InterpolateRequest
from tests.services import routes


def test_the_document_is_valid():
    OpenAPIV31SpecValidator(openapi.document()).validate()


def test_every_route_and_field_is_described(client):
    document = client.get("/openapi.json").json()
    assert document == openapi.document()
    assert set(document["paths"]) == set(Api()._routes) - {"/", "/docs", "/openapi.json", "/pages/{file}"}
    parameters = {parameter["name"] for parameter in document["paths"]["/generate"]["get"]["parameters"]}
    assert parameters == set(GenerateRequest.model_fields)
    for model in (GenerateRequest, InterpolateRequest, *openapi_pictures.REQUESTS.values()):
        properties = document["components"]["schemas"][model.__name__]["properties"]
        assert properties.keys() == model.model_fields.keys()
        assert all(field["description"] for field in properties.values())


def test_every_type_of_body_and_every_answer_is_described():
    generate = openapi.document()["paths"]["/generate"]["post"]
    assert set(generate["requestBody"]["content"]) == {"application/json", "application/x-npy"}
    assert {"200", "400", "406", "413", "415", "422"} <= set(generate["responses"])
    assert "Content-Disposition" in generate["responses"]["200"]["headers"]
    assert not {"hardware", "git_revision"} & openapi.document()["components"]["schemas"]["Environment"]["properties"].keys()


def test_the_examples_are_answered(client):
    for path in ("/generate", "/interpolate", *openapi_pictures.REQUESTS):
        examples = openapi.document()["paths"][path]["post"]["requestBody"]["content"]["application/json"]["examples"]
        for example in examples.values():
            answer = client.post(path, json=example["value"])
            assert answer.status_code == 200, answer.text


@schemathesis.serializer("application/x-npy")
def npy_body(_, value):
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.serializer("image/png", "image/jpeg", "image/webp")
def picture_body(_, value):
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.fixture(scope="module")
def schema(trained):
    with routes(trained.models, max_n=8, max_frames=8) as api:
        yield schemathesis.openapi.from_asgi("/openapi.json", api)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/generate"),
        ("POST", "/generate"),
        ("POST", "/interpolate"),
        *(("POST", path) for path in openapi_pictures.REQUESTS),
        ("GET", "/models"),
        ("GET", "/models/{name}"),
        ("POST", "/models/{name}/reload"),
    ],
)
def test_whatever_is_sent_the_answer_is_one_that_the_document_describes(schema, method, path):
    sent = set()

    # Driven by hand, since Schemathesis's own pytest plugin lags behind pytest.
    @given(case=schema[path][method].as_strategy())
    @settings(max_examples=60, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def try_it(case):
        sent.add(case.media_type)
        case.call_and_validate(
            checks=[not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
        )

    try_it()
    if path in openapi_pictures.REQUESTS:
        assert sent >= {"application/json", "multipart/form-data", "image/png"}
    if (method, path) == ("POST", "/generate"):
        assert sent >= {"application/json", "application/x-npy"}
