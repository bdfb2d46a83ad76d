"""The bare site: ``granian --interface wsgi benchmarks.bare.site:application``."""

from __future__ import annotations

from datetime import datetime

import msgspec
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

application = get_wsgi_application()

from .models import KnownUnit, SentCost  # noqa: E402 - models need the applications to be ready


class Body(msgspec.Struct):
    """What is sent."""

    source: str
    event_id: str
    occurred_at: datetime
    entity_type: str
    entity_id: str
    cost_type: str
    provider: str
    model: str
    usage: dict[str, int]
    run_id: str
    tags: dict[str, str]
    entities: dict[str, str] = {}


_decoder = msgspec.json.Decoder(Body)


def record(request: HttpRequest) -> JsonResponse:
    """Decode and insert."""
    row = SentCost.objects.create(**msgspec.structs.asdict(_decoder.decode(request.body)))
    return JsonResponse({"id": row.pk}, status=201)


def look_up(request: HttpRequest) -> JsonResponse:
    """Decode, and find one row by its unique column."""
    unit = msgspec.json.decode(request.body)["context"]["targetingKey"]
    return JsonResponse({"variant": KnownUnit.objects.get(unit=unit).variant})


def alive(request: HttpRequest) -> HttpResponse:
    """Whether the server is up."""
    return HttpResponse("ok")


urlpatterns = [path("record", record), path("look-up", look_up), path("livez", alive)]
