"""Below ``/ofrep/v1/``."""

from __future__ import annotations

from django.urls import path, re_path

from . import ofrep

urlpatterns = [
    path("evaluate/flags", ofrep.evaluate_many, name="ofrep-bulk"),
    # A path, because clients do not escape slashes: no flag has one, and they are told so.
    path("evaluate/flags/<path:key>", ofrep.evaluate_one, name="ofrep-single"),
    re_path(r"^.*$", ofrep.unknown_path),
]
