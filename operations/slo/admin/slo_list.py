"""The list of SLOs, worst first: how each stands is read for all of them at once."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final

from django.core.paginator import InvalidPage
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.views import ChangeList

from operations.slo.selectors.history import daily_levels
from operations.slo.selectors.status import Status, statuses

from .slo_filters import StandingFilter

TREND_DAYS: Final = 30


def badness(found: Status) -> tuple[Any, ...]:
    """Sorts the least share of budget left first, then the fastest burn; those without data last."""
    left = found.budget.left_ratio
    rates = [one.rate for one in found.burns.values() if one.rate is not None]
    return (left is None, left or Fraction(0), -max(rates, default=Fraction(0)), found.slo.key)


class WorstFirstChangeList(ChangeList):  # type: ignore[misc]
    """All that the filters let through, judged, sorted, and cut into pages."""

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[str]:
        return ["key"]

    def get_results(self, request: HttpRequest) -> None:
        rows = list(self.queryset)
        found = statuses(rows)
        asked = next((spec for spec in self.filter_specs if isinstance(spec, StandingFilter)), None)
        if asked is not None:
            found = [one for one in found if asked.chosen(one)]
        found.sort(key=badness)
        paginator = self.model_admin.get_paginator(request, found, self.list_per_page)
        try:
            page = paginator.page(self.page_num).object_list
        except InvalidPage:
            page = []
        trends = daily_levels([one.slo for one in page], days=TREND_DAYS)
        for one in page:
            one.slo.standing, one.slo.trend = one, trends[one.slo.pk]  # type: ignore[attr-defined]
        self.result_list = [one.slo for one in page]
        self.result_count = self.full_result_count = paginator.count
        self.show_full_result_count = False
        self.show_admin_actions = True
        self.can_show_all = False
        self.multi_page = paginator.count > self.list_per_page
        self.paginator = paginator
