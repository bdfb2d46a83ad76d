"""The look and the navigation of the admin (django-unfold): brand, colours, sidebar, environment badge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy

NAME: Final = "Agent Factory"

# Indigo: apart from the green, orange, red and blue that say how something is.
PRIMARY: Final = {
    "50": "oklch(96.2% .018 272.314)",
    "100": "oklch(93% .034 272.788)",
    "200": "oklch(87% .065 274.039)",
    "300": "oklch(78.5% .115 274.713)",
    "400": "oklch(67.3% .182 276.935)",
    "500": "oklch(58.5% .233 277.117)",
    "600": "oklch(51.1% .262 276.966)",
    "700": "oklch(45.7% .24 277.023)",
    "800": "oklch(39.8% .195 277.366)",
    "900": "oklch(35.9% .144 278.697)",
    "950": "oklch(25.7% .09 281.288)",
}


def _asset(path: str) -> Callable[[HttpRequest], str]:
    return lambda _request: static(path)


def _screen(model: str) -> Callable[[HttpRequest], bool]:
    """Whether the admin screen of ``app.model`` opens to the person asking."""

    def permitted(request: HttpRequest) -> bool:
        from django.apps import apps
        from django.contrib import admin

        screen = admin.site.get_model_admin(apps.get_model(model))
        return bool(screen.has_view_permission(request))

    return permitted


def _item(title: str, icon: str, model: str) -> dict[str, Any]:
    label, _, name = model.lower().partition(".")
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{label}_{name}_changelist"),
        "permission": _screen(model),
    }


def _environment(debug: bool, production: bool, demo: bool) -> tuple[str, str]:
    if demo:
        return "Demo data", "warning"
    if production:
        return "Production", "danger"
    return ("Debug", "info") if debug else ("Development", "info")


def unfold_config(*, debug: bool, production: bool, demo: bool) -> dict[str, Any]:
    """The ``UNFOLD`` setting. The demo and production marks are on every page, sign-in included."""
    badge = _environment(debug, production, demo)
    return {
        "SITE_TITLE": NAME,
        "SITE_HEADER": NAME,
        "SITE_SUBHEADER": "Operations desk",
        "SITE_URL": None,
        "SITE_ICON": _asset("agent_factory/mark.svg"),
        "SITE_FAVICONS": [
            {"rel": "icon", "type": "image/svg+xml", "href": _asset("agent_factory/favicon.svg")},
        ],
        "SHOW_HISTORY": False,
        "SHOW_VIEW_ON_SITE": False,
        "SHOW_BACK_BUTTON": True,
        "BORDER_RADIUS": "8px",
        "COLORS": {"primary": PRIMARY},
        "STYLES": [_asset("agent_factory/admin.css")],
        "SCRIPTS": [_asset("agent_factory/admin.js")],
        "ENVIRONMENT": lambda _request: list(badge),
        "ENVIRONMENT_TITLE_PREFIX": (lambda _request: "[Demo]") if demo else None,
        "DASHBOARD_CALLBACK": "agent_factory_site.desk.dashboard.dashboard_context",
        "ACCOUNT": {
            "navigation": [
                {"title": "Change password", "link": reverse_lazy("admin:password_change")},
                {"title": "API reference", "link": "/api/docs"},
            ],
        },
        "COMMAND": {"search_models": ["common.entity", "common.apikey", "common.user", "common.team"]},
        "SIDEBAR": {
            "show_search": True,
            "command_search": True,
            "show_all_applications": False,
            "navigation": [
                {
                    "items": [
                        {"title": "Overview", "icon": "space_dashboard", "link": reverse_lazy("admin:index")},
                    ],
                },
                {
                    "title": "Money",
                    "separator": True,
                    "items": [
                        _item("Costs", "payments", "financial.CostEvent"),
                        _item("Budgets", "savings", "financial.Budget"),
                        _item("Holds", "front_hand", "financial.Hold"),
                        _item("Overrides", "more_time", "financial.BudgetOverride"),
                        _item("Model prices", "sell", "financial.PriceVersion"),
                        {
                            "title": "Unpriced models",
                            "icon": "money_off",
                            "link": reverse_lazy("admin:operations_run_unpriced"),
                            "permission": _screen("financial.CostEvent"),
                        },
                        _item("Unit prices", "straighten", "financial.UnitPrice"),
                        _item("Exchange rates", "currency_exchange", "financial.ExchangeRate"),
                        _item("Imports", "upload_file", "financial.CostImport"),
                        _item("Archives", "inventory_2", "financial.LedgerArchive"),
                    ],
                },
                {
                    "title": "Experiments",
                    "separator": True,
                    "items": [
                        _item("Experiments", "science", "research.Experiment"),
                        {
                            "title": "Planner",
                            "icon": "straighten",
                            "link": reverse_lazy("admin:research_experiment_planner"),
                            "permission": _screen("research.Experiment"),
                        },
                        _item("Flags", "flag", "research.FeatureFlag"),
                        _item("Exclusion groups", "call_split", "research.ExclusionGroup"),
                        _item("Holdout", "do_not_disturb_on", "research.Holdout"),
                    ],
                },
                {
                    "title": "Reliability",
                    "separator": True,
                    "items": [
                        _item("SLOs", "verified", "operations.Slo"),
                        _item("SLIs", "speed", "operations.Sli"),
                        _item("Maintenance windows", "construction", "operations.MaintenanceWindow"),
                    ],
                },
                {
                    "title": "Operations",
                    "separator": True,
                    "items": [
                        _item("Agents", "robot_2", "operations.Agent"),
                        _item("Runs", "account_tree", "operations.Run"),
                        {
                            "title": "Live runs",
                            "icon": "sensors",
                            "link": reverse_lazy("admin:operations_run_live"),
                            "permission": _screen("operations.Run"),
                        },
                        _item("Sources", "cell_tower", "operations.TelemetrySource"),
                        _item("Health", "monitor_heart", "operations.HealthCheck"),
                        _item("Published numbers", "monitoring", "common.MetricWatch"),
                    ],
                },
                {
                    "title": "Administration",
                    "separator": True,
                    "items": [
                        _item("Entities", "smart_toy", "common.Entity"),
                        _item("Teams", "groups", "common.Team"),
                        _item("Users", "person", "common.User"),
                        _item("Groups", "shield_person", "auth.Group"),
                        _item("API keys", "key", "common.ApiKey"),
                        _item("Allowed networks", "lan", "common.AllowedNetwork"),
                        _item("Audit trail", "history", "common.AuditEvent"),
                        _item("Jobs", "manufacturing", "common.Job"),
                    ],
                },
                {
                    "title": "Schedule",
                    "separator": True,
                    "collapsible": True,
                    "items": [
                        _item("Periodic tasks", "event_repeat", "django_celery_beat.PeriodicTask"),
                        _item("Intervals", "timer", "django_celery_beat.IntervalSchedule"),
                        _item("Crontabs", "calendar_month", "django_celery_beat.CrontabSchedule"),
                        _item("Clocked", "alarm", "django_celery_beat.ClockedSchedule"),
                        _item("Solar", "wb_twilight", "django_celery_beat.SolarSchedule"),
                    ],
                },
            ],
        },
    }
