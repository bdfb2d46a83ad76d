"""How the OpenAPI document is made."""

from __future__ import annotations

from drf_spectacular.openapi import AutoSchema


class ProblemSchema(AutoSchema):
    """The schema of one operation."""
