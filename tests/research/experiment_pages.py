"""The pages of experiments as their tests reach and read them."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from django.test import Client

from agent_factory_site.common.models import AuditEvent
from research.models import ExclusionGroup, Experiment, Holdout, Override, Phase

LIST = "/admin/research/experiment/"
TARGETING = [
    {"attribute": "country", "op": "in", "value": ["DE", "FR"]},
    {"attribute": "age", "op": "gte", "value": 18},
]


def page_of(experiment: Experiment, query: str = "") -> str:
    return f"{LIST}{experiment.pk}/change/{query}"


def step_of(experiment: Experiment, step: str) -> str:
    return f"{LIST}{experiment.pk}/{step}/"


def words_of(client: Client, path: str) -> str:
    """The text of a page, white space folded."""
    response = client.get(path)
    assert response.status_code == 200, path
    return text_of(response)


def text_of(response: Any) -> str:
    html = re.sub(r"<(template|script|style)\b.*?</\1>", " ", response.content.decode(), flags=re.S)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def snapshot() -> list[Any]:
    """All that a step could change."""
    return [
        list(model.objects.order_by("pk").values())
        for model in (Experiment, Phase, Override, ExclusionGroup, Holdout)
    ] + [AuditEvent.objects.count()]


def do(client: Client, experiment: Experiment, step: str, **fields: str) -> Any:
    return client.post(step_of(experiment, step), {"_form_submitted": "on", **fields})
