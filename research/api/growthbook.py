"""``/api/v1/research/sdk/growthbook``: features for GrowthBook's SDKs."""

from __future__ import annotations

from hashlib import sha256
from typing import ClassVar

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from agent_factory_site.common.api.etags import etag_of, is_unchanged
from agent_factory_site.common.api.serializers import StrictSerializer, validated_query
from agent_factory_site.common.api.views import ApiView, NoParameters
from research.selectors.growthbook import growthbook_features


class Omitted(StrictSerializer):
    """What GrowthBook's format has no words for."""

    key = serializers.CharField()
    reason = serializers.CharField()


class Features(StrictSerializer):
    """Features by key, as GrowthBook's SDKs take them."""

    status = serializers.IntegerField()
    features = serializers.DictField()
    omitted = Omitted(many=True)


class GrowthBookView(ApiView):
    """Running experiments and enabled flags for GrowthBook's SDKs."""

    scopes: ClassVar = {"GET": ("assign", "research:read")}

    @extend_schema(
        operation_id="get_growthbook_features",
        summary="Running experiments and enabled flags, for GrowthBook's SDKs",
        responses={200: Features},
    )
    def get(self, request: Request) -> HttpResponse:
        validated_query(NoParameters, request)
        content = growthbook_features()
        headers = {"ETag": etag_of(sha256(content).hexdigest()[:32])}
        if is_unchanged(request, headers["ETag"]):
            return HttpResponse(status=304, headers=headers)
        return HttpResponse(content, content_type="application/json", headers=headers)
