"""``slis/{key}/samples``: recording what happened."""

from __future__ import annotations

from typing import ClassVar, Final

from django.http import HttpRequest
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from agent_factory_site.common.api.bodies import read_json
from agent_factory_site.common.api.idempotency import idempotent
from agent_factory_site.common.api.views import ApiView
from agent_factory_site.common.errors import Invalid, TooLarge
from operations.slo.domain.sample_input import SampleItem, decode_sample, decode_samples
from operations.slo.services.record_samples import record_samples

from . import schemas

MAX_BATCH: Final = 10_000
MAX_BODY: Final = 16 * 1024 * 1024


class SamplesView(ApiView):
    """Recording samples of one indicator."""

    scopes: ClassVar = {"POST": ("operations:write", "ingest")}
    max_body_bytes = MAX_BODY

    @extend_schema(
        operation_id="record_samples",
        summary="Record one sample or a batch",
        description="Takes one object or an array of up to 10,000, with good and total, or with a value where the "
        "indicator has a threshold. The same event_id with a content that it has or had changes nothing; another "
        "content takes its place, unless a higher revision is known. Good samples are stored, bad ones listed by "
        "index; a single one that is bad is a 400.",
        request=schemas.SAMPLES_REQUEST,
        responses={200: schemas.RecordedSamplesSchema},
    )
    @idempotent()
    def post(self, request: Request, key: str) -> Response:
        single, items = _read_samples(request._request)
        outcome = record_samples(sli=key, samples=items)
        if single and outcome.rejected:
            raise Invalid.fields(*outcome.rejected[0])
        return Response(
            {
                "accepted": len(outcome.accepted),
                "duplicates": len(outcome.duplicates),
                "rejected": [
                    {"index": index, "code": errors[0].code, "errors": [error.as_dict() for error in errors]}
                    for index, errors in sorted(outcome.rejected.items())
                ],
            }
        )


def _read_samples(request: HttpRequest) -> tuple[bool, list[SampleItem]]:
    """Whether it is one object, and the samples, each decoded or with its errors."""
    body = read_json(request, MAX_BODY)
    if body.lstrip()[:1] != b"[":
        item = decode_sample(body)
        if isinstance(item, list) and item[0].code == "malformed":
            raise Invalid("malformed_json", item[0].detail)
        return True, [item]
    items = decode_samples(body)
    if items is None:
        raise Invalid("malformed_json", "The body is not JSON.")
    if len(items) > MAX_BATCH:
        raise TooLarge("too_many_items", f"At most {MAX_BATCH} samples in one request.")
    return False, items
