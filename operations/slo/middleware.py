"""Hands every answered request to the collector of samples."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from .services.request_samples import SeenRequest, collector

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


class RequestSamplesMiddleware:
    """Notes route, status and duration of requests that some view answered, or failed to."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        response = self.get_response(request)
        match = request.resolver_match
        # Without a view there is no route: an address that somebody made up must not become a label.
        if match is not None:
            collector.add(
                SeenRequest(
                    time.time(),
                    request.method if request.method in METHODS else "OTHER",
                    f"/{match.route}",
                    response.status_code,
                    time.perf_counter() - started,
                )
            )
        return response
