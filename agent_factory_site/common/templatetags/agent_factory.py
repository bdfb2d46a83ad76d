"""Template tags of our pages: money, counts and times as people read them, the exact value in the title."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import template
from django.conf import settings
from django.contrib.admin.views.main import ChangeList
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from agent_factory_site.common.display import compact_number, grouped_number, money_exact, money_text

register = template.Library()


@register.simple_tag
def money(nano: int | None, currency: str) -> SafeString:
    """An amount in nano-units, rounded for reading; a dash where it is unknown."""
    if nano is None:
        return unknown()
    return format_html(
        '<span class="af-num" title="{}">{}</span>', money_exact(nano, currency), money_text(nano, currency)
    )


@register.filter
def compact(number: int | None) -> SafeString:
    """A count as ``1.24M``."""
    if number is None:
        return unknown()
    return format_html(
        '<span class="af-num" title="{}">{}</span>', grouped_number(number), compact_number(number)
    )


@register.filter
def grouped(number: int | None) -> SafeString:
    """A count as ``1,234,567``."""
    if number is None:
        return unknown()
    return format_html('<span class="af-num">{}</span>', grouped_number(number))


@register.filter
def ago(moment: datetime | None) -> SafeString:
    """``3 minutes ago``, with the UTC time in the title."""
    if moment is None:
        return unknown()
    now = timezone.now()
    if moment > now:
        words = f"in {timesince(now, moment, depth=1)}"
    elif (now - moment).total_seconds() < 60:
        words = "just now"
    else:
        words = f"{timesince(moment, now, depth=1)} ago"
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(), utc(moment), words)


@register.filter
def utc(moment: datetime | None) -> str:
    """``2026-11-02 10:11:12 UTC``."""
    if moment is None:
        return "–"
    return f"{moment.astimezone(timezone.get_default_timezone()):%Y-%m-%d %H:%M:%S} UTC"


@register.simple_tag
def filters_in_force(changelist: ChangeList) -> list[dict[str, Any]]:
    """Label, wording and drop link of each filter that narrows a list."""
    from agent_factory_site.common.admin.filters import ParameterFilter

    return [
        {"label": spec.label, "words": spec.described(), "without": spec.without(changelist)}
        for spec in changelist.filter_specs
        if isinstance(spec, ParameterFilter) and spec.used_parameters
    ]


@register.simple_tag
def period_presets(changelist: ChangeList) -> list[dict[str, Any]]:
    """Links of a list's period filter, if it has one."""
    from agent_factory_site.common.admin.filters import PeriodFilter

    for spec in changelist.filter_specs:
        if isinstance(spec, PeriodFilter):
            return spec.presets(changelist)
    return []


@register.simple_tag
def is_demo() -> bool:
    """Whether this system shows demo data."""
    return bool(settings.DEMO)


def unknown() -> SafeString:
    """What stands where there is no value: unknown is not zero."""
    return format_html('<span class="af-unknown" title="{}">–</span>', "unknown")
