"""Default deny: every URL needs somebody with a permission, or stands on the list of public ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RegexPattern, RoutePattern
from rest_framework.views import APIView

from agent_factory_site.common.api.permissions import ANY_PRINCIPAL, HasScope, required_scopes
from agent_factory_site.common.api.views import ApiMixin
from agent_factory_site.common.scopes import EVERYTHING, SCOPES, covers
from tests.common.callers import key_headers

pytestmark = [pytest.mark.once, pytest.mark.django_db]

PUBLIC = {
    "livez": "says only that the process answers, for container platforms",
    "readyz": "says only whether the process can work, for load balancers",
    "healthz": "says only how it is: what was found is for keys with a scope and allowed networks",
    "favicon.ico": "is a picture",
    "admin/login/": "is where one signs in",
    "admin/logout/": "ends a session and shows nothing",
    "^api(?:/|$)": "answers 404 to whatever does not exist",
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
SAMPLES = {"int": "1", "str": "x", "slug": "x", "path": "x/y", "uuid": str(uuid4())}
REGEX_SAMPLES = {"^api(?:/|$)": "api/x"}


@dataclass(frozen=True)
class Url:
    """One pattern of the URLconf, with a path that it matches."""

    route: str
    path: str
    callback: Any

    @property
    def view(self) -> Any:
        return getattr(self.callback, "view_class", None)


def urls() -> Iterator[Url]:
    waiting: list[tuple[str, str, URLPattern | URLResolver]] = [
        ("", "/", pattern) for pattern in get_resolver().url_patterns
    ]
    while waiting:
        route, path, pattern = waiting.pop()
        route += str(pattern.pattern)
        path += sample(pattern.pattern)
        if isinstance(pattern, URLResolver):
            waiting.extend((route, path, inner) for inner in pattern.url_patterns)
        else:
            yield Url(route, path, pattern.callback)


def sample(pattern: Any) -> str:
    text = str(pattern)
    if isinstance(pattern, RegexPattern):
        # A group of alternatives stands for its first one, any other for one letter.
        made = re.sub(r"\(\?P<\w+>(?:(\w+)(?:\|\w+)*|[^)]*)\)", lambda found: found[1] or "x", text)
        made = REGEX_SAMPLES.get(text) or made.removeprefix("^").removesuffix("$")
        assert re.search(text, made), text
        return made
    assert isinstance(pattern, RoutePattern)
    return re.sub(r"<(?:(\w+):)?\w+>", lambda found: SAMPLES[found[1] or "str"], text)


ALL = sorted(urls(), key=lambda url: url.route)
API = [url for url in ALL if url.path.startswith("/api") and url.route not in PUBLIC]


def test_the_urlconf_was_walked() -> None:
    routes = {url.route for url in ALL}
    assert {"admin/", "admin/common/user/", "api/v1/financial/costs", "api/v1/common/api-keys"} <= routes
    assert len(ALL) > 50


def test_the_public_list_holds_nothing_that_is_gone() -> None:
    assert set(PUBLIC) <= {url.route for url in ALL}


@pytest.mark.parametrize("url", [url for url in ALL if url.route not in PUBLIC], ids=lambda url: url.route)
def test_nothing_is_open(client: Client, url: Url) -> None:
    for method in METHODS:
        response = client.generic(method, url.path)
        if response.status_code == 302:
            assert re.match(r"/admin/login/\?next=", response["Location"]), (method, response["Location"])
        else:
            assert response.status_code in {401, 403}, (method, url.path, response.status_code)


@pytest.mark.parametrize("url", API, ids=lambda url: url.route)
def test_every_view_of_the_api_declares_a_scope_for_each_of_its_methods(url: Url) -> None:
    view = url.view
    assert issubclass(view, ApiMixin)
    assert issubclass(view, APIView)
    assert view.permission_classes == [HasScope]
    assert view.authentication_classes == APIView.authentication_classes
    methods = {
        method for method in METHODS if method not in {"HEAD", "OPTIONS"} and hasattr(view, method.lower())
    }
    assert set(view.scopes) == methods
    for method in methods:
        for scope in required_scopes(view, method) or ():
            assert scope in {*SCOPES, ANY_PRINCIPAL}, (method, scope)


@pytest.mark.parametrize("url", API, ids=lambda url: url.route)
def test_a_key_without_the_scope_is_refused(client: Client, url: Url) -> None:
    for method in url.view.scopes:
        required = required_scopes(url.view, method) or ()
        if ANY_PRINCIPAL in required:
            continue
        others = [scope for scope in SCOPES if not any(covers({scope}, needed) for needed in required)]
        assert EVERYTHING not in others
        response = client.generic(
            method, url.path, b"{}", content_type="application/json", headers=key_headers(*others)
        )
        # OTLP wants refusals as google.rpc.Status, in which 7 is PERMISSION_DENIED.
        code = 7 if "/otlp/v1/" in url.path else "missing_scope"
        assert (response.status_code, response.json()["code"]) == (403, code), (method, url.path)


def test_files_of_our_own_are_all_that_is_static(client: Client) -> None:
    # Served by a middleware, before the URLconf: style sheets and scripts hold nothing to protect.
    assert client.get("/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui.css").status_code == 200
    for path in ("/static/../manage.py", "/static/..%2f..%2fmanage.py", "/static/", "/manage.py"):
        assert client.get(path).status_code in {302, 403, 404}, path
