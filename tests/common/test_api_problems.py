"""Every error of the API is an RFC 9457 problem document."""

from __future__ import annotations

import json
import logging
import re

import pytest
from django.core import exceptions as core
from django.db import OperationalError
from django.test import Client, RequestFactory
from rest_framework import exceptions as drf
from rest_framework.exceptions import ErrorDetail

from agent_factory_site.common.api.problems import field_errors, from_exception
from agent_factory_site.common.errors import FieldError, Invalid
from tests.common.callers import key_headers, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.common.kernel_api")]


@pytest.fixture
def quiet() -> Client:
    """A client that gets the 500 a user would get, instead of the exception."""
    return Client(raise_request_exception=False)


def test_a_refusal_of_a_service_in_full(client: Client) -> None:
    response = client.get(
        "/api/kernel/refusal/domain", headers={**key_headers("ingest"), "X-Request-ID": "req-1"}
    )
    assert response.status_code == 402
    assert response["Content-Type"] == "application/problem+json"
    assert response["Cache-Control"] == "no-store"
    assert response["X-Request-ID"] == "req-1"
    assert json.loads(response.content) == {
        "type": "about:blank",
        "title": "Payment Required",
        "status": 402,
        "detail": "There is nothing left.",
        "instance": "/api/kernel/refusal/domain",
        "code": "no_money",
        "request_id": "req-1",
        "left": "0.00",
    }


def test_a_bad_field_is_named_by_pointer(client: Client) -> None:
    response = client.get("/api/kernel/refusal/pointer", headers=key_headers("ingest"))
    assert response.status_code == 400
    body = response.json()
    assert (body["code"], body["detail"]) == ("invalid", "/a~1b/0: No good.")
    assert body["errors"] == [{"pointer": "/a~1b/0", "code": "bad", "detail": "No good."}]


def test_404_does_not_tell_more_than_that(client: Client) -> None:
    response = client.get("/api/kernel/refusal/http404", headers=key_headers("ingest"))
    assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert "model" not in response.content.decode()


@pytest.mark.parametrize(
    "path", ["/api", "/api/", "/api/nope", "/api/v2/financial/costs", "/api/v1/common/nope"]
)
@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
def test_unknown_api_paths_are_problems(path: str, method: str) -> None:
    response = getattr(Client(enforce_csrf_checks=True), method)(path)
    assert (response.status_code, response["Content-Type"]) == (404, "application/problem+json")
    assert response.json()["instance"] == path


def test_a_trailing_slash_is_explained(client: Client) -> None:
    body = client.get("/api/v1/common/api-keys/").json()
    assert (body["status"], body["code"]) == (404, "not_found")
    assert "do not end with a slash" in body["detail"]


def test_405_says_what_is_allowed(client: Client) -> None:
    response = client.put("/api/kernel/thing", headers=key_headers("*"))
    assert (response.status_code, response["Allow"]) == (405, "POST, OPTIONS")
    assert response.json()["code"] == "method_not_allowed"


def test_415_of_another_content_type(client: Client) -> None:
    for content_type in ("text/plain", "application/xml", "multipart/form-data; boundary=x", "nonsense", ""):
        response = client.post(
            "/api/kernel/echo", "a=b", content_type=content_type, headers=key_headers("ingest")
        )
        assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type"), (
            content_type
        )


def test_406_of_an_answer_nobody_makes(client: Client) -> None:
    response = client.get("/api/kernel/any", headers={**key_headers("ingest"), "Accept": "image/png"})
    assert (response.status_code, response["Content-Type"]) == (406, "application/problem+json")
    assert response.json()["code"] == "not_acceptable"


def test_a_defect_is_500_without_its_traceback(quiet: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "django.request"):
        response = quiet.get(
            "/api/kernel/refusal/defect", headers={**key_headers("ingest"), "X-Request-ID": "req-2"}
        )
    assert (response.status_code, response["Content-Type"]) == (500, "application/problem+json")
    assert response["X-Request-ID"] == "req-2"
    body = response.json()
    assert (body["code"], body["request_id"]) == ("internal_error", "req-2")
    for word in ("RuntimeError", "Traceback", "password", "af_"):
        assert word not in response.content.decode()
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [RuntimeError]


def test_plain_views_of_the_api_answer_with_problems_too(quiet: Client) -> None:
    response = quiet.post("/api/kernel/plain", b"refuse", content_type="text/plain")
    assert (response.status_code, response.json()["code"]) == (409, "taken")
    response = quiet.post("/api/kernel/plain", b"fail", content_type="text/plain")
    assert (response.status_code, response.json()["code"]) == (500, "internal_error")
    response = quiet.post("/api/kernel/plain", b"x" * 1001, content_type="text/plain")
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")


def test_csrf_failures_of_plain_views() -> None:
    client = Client(enforce_csrf_checks=True)
    response = client.post("/api/kernel/csrf", {})
    assert (response.status_code, response["Content-Type"]) == (403, "application/problem+json")
    assert response.json()["code"] == "csrf_failed"
    response = client.post("/page/csrf", {})
    assert (response.status_code, response["Content-Type"]) == (403, "text/html; charset=utf-8")


def test_pages_get_pages(quiet: Client) -> None:
    for method, path, body, status, title in (
        ("get", "/nope", b"", 404, "Not Found"),
        ("post", "/page/plain", b"fail", 500, "Internal Server Error"),
    ):
        response = getattr(quiet, method)(path, body, content_type="text/plain") if body else quiet.get(path)
        assert (response.status_code, response["Content-Type"]) == (status, "text/html; charset=utf-8")
        page = response.content.decode()
        assert f"<h1>{status} {title}</h1>" in page
        assert response["X-Request-ID"] in page
        assert "RuntimeError" not in page
        # Its style comes from a file: the content security policy allows no other.
        (style,) = re.findall(r'<link rel="stylesheet" href="([^"]+)">', page)
        assert quiet.get(style).status_code == 200
        assert "<style" not in page


def test_a_host_that_is_not_ours(quiet: Client) -> None:
    response = quiet.get("/api/v1", headers={"Host": "evil.example"})
    assert (response.status_code, response.json()["code"]) == (400, "host_not_allowed")
    response = quiet.get("/nope", headers={"Host": "evil.example"})
    assert (response.status_code, response["Content-Type"]) == (400, "text/html; charset=utf-8")


def test_nul_characters_in_the_url(client: Client) -> None:
    headers = key_headers("*")
    for url in ("/api/kernel/refusal/a%00b", "/api/kernel/teams?name=a%00b"):
        response = client.get(url, headers=headers)
        assert (response.status_code, response.json()["code"]) == (400, "nul_character")


def test_one_time_passwords_do_not_open_the_api(client: Client) -> None:
    client.force_login(make_user(is_superuser=True, must_change_password=True))
    response = client.get("/api/kernel/any")
    assert (response.status_code, response.json()["code"]) == (403, "password_change_required")


def test_exceptions_of_django_and_the_framework() -> None:
    request = RequestFactory().get("/api/x")
    for exception, status, code in (
        (core.PermissionDenied(), 403, "permission_denied"),
        (core.RequestDataTooBig(), 413, "body_too_large"),
        (core.BadRequest("x"), 400, "bad_request"),
        (core.SuspiciousOperation("x"), 400, "bad_request"),
        (drf.ParseError(), 400, "parse_error"),
        (drf.NotFound(), 404, "not_found"),
        (drf.Throttled(wait=3.4), 429, "throttled"),
        (OperationalError("database is locked"), 503, "database_unavailable"),
    ):
        response = from_exception(exception, request)
        assert response is not None
        assert (response.status_code, json.loads(response.content)["code"]) == (status, code)
    assert from_exception(ValueError("a defect"), request) is None
    throttled = from_exception(drf.Throttled(wait=3.4), request)
    assert throttled is not None
    assert throttled["Retry-After"] == "4"


def test_validation_of_models() -> None:
    error = core.ValidationError({"name": ["Too long.", "Too dull."], "__all__": ["Not together."]})
    response = from_exception(error, RequestFactory().get("/api/x"))
    assert response is not None
    assert json.loads(response.content)["errors"] == [
        {"pointer": "/name", "code": "invalid", "detail": "Too long."},
        {"pointer": "/name", "code": "invalid", "detail": "Too dull."},
        {"pointer": "", "code": "invalid", "detail": "Not together."},
    ]


def test_nested_details_become_pointers() -> None:
    detail = {
        "a/b": [ErrorDetail("one", "x")],
        "list": [{}, {"c~d": [ErrorDetail("two", "y")]}],
        "non_field_errors": [ErrorDetail("three", "z")],
        "map": {"k": {"non_field_errors": [ErrorDetail("four", "w")]}},
    }
    assert list(field_errors(detail)) == [
        FieldError("/a~1b", "x", "one"),
        FieldError("/list/1/c~0d", "y", "two"),
        FieldError("", "z", "three"),
        FieldError("/map/k", "w", "four"),
    ]


def test_query_parameters_are_named_as_such() -> None:
    response = from_exception(Invalid.field_error("?limit", "bad", "No."), RequestFactory().get("/api/x"))
    assert response is not None
    assert json.loads(response.content)["errors"] == [{"parameter": "limit", "code": "bad", "detail": "No."}]


def test_titles_do_not_depend_on_the_python_version() -> None:
    request = RequestFactory().get("/api/x")
    response = from_exception(core.RequestDataTooBig(), request)
    assert response is not None
    assert json.loads(response.content)["title"] == "Content Too Large"
