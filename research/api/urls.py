"""Below ``/api/v1/research/``."""

from __future__ import annotations

from django.urls import path

from . import flags

urlpatterns = [
    path("flags", flags.FlagsView.as_view(), name="flags"),
    path("flags/<str:flag>", flags.FlagView.as_view(), name="flag"),
    path("flags/<str:flag>/archive", flags.FlagArchiveView.as_view(), name="flag-archive"),
]
