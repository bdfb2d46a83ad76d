"""The forms of budgets: what people type, as the services take it. What is allowed is theirs to say."""

from __future__ import annotations

from datetime import UTC
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from django import forms
from django.conf import settings
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from agent_factory_site.common.currencies import CURRENCIES
from agent_factory_site.common.money import format_amount
from financial.models import Budget
from financial.selectors.budgets import list_budgets

from .budget_cells import PERIODS, amount, period_words
from .cost_filters import COST_TYPES
from .price_form import moment_field

ROLLING: Final = "rolling"
MOST_PARENTS: Final = 500
ENFORCEMENTS: Final = (("soft", "Soft: tell only"), ("hard", "Hard: refuse holds beyond the limit"))
ROLLOVERS: Final = (("none", "Nothing"), ("all", "All that is left"), ("capped", "What is left, up to a cap"))


def percent_text(share: float) -> str:
    """``80`` for 0.8, ``12.5`` for 0.125."""
    text = f"{Decimal(str(share)) * 100:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


class SharesField(forms.CharField):
    """Per cents, separated by commas, as shares."""

    def clean(self, value: Any) -> list[Decimal]:
        text = super().clean(value)
        found = []
        for part in text.replace("%", " ").replace(";", ",").split(","):
            if part.strip():
                try:
                    found.append(Decimal(part.strip()) / 100)
                except InvalidOperation:
                    raise forms.ValidationError(
                        f"{part.strip()} is not a number: write per cents such as 80, 100.", code="invalid"
                    ) from None
        return found

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.clean(initial or "") != self.clean(data or ""))
        except forms.ValidationError:
            return True


class NamesField(forms.CharField):
    """Names separated by commas."""

    def clean(self, value: Any) -> list[str]:
        return [part.strip() for part in super().clean(value).split(",") if part.strip()]


class TagsField(forms.CharField):
    """``name=value``, one a line."""

    def clean(self, value: Any) -> dict[str, str]:
        found: dict[str, str] = {}
        for line in super().clean(value).splitlines():
            if line.strip():
                name, equals, text = line.partition("=")
                if not equals or not name.strip():
                    raise forms.ValidationError(
                        f"{line.strip()} is no tag: write name=value, one a line.", code="invalid"
                    )
                found[name.strip()] = text.strip()
        return found


def _text(label: str, help_text: str = "", *, required: bool = True, **attrs: str) -> dict[str, Any]:
    return {
        "label": label,
        "help_text": help_text,
        "required": required,
        "widget": UnfoldAdminTextInputWidget(attrs=attrs),
    }


def _day_field(label: str, help_text: str) -> forms.DateField:
    return forms.DateField(
        label=label,
        help_text=help_text,
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"type": "date"}),
    )


class BudgetChangeForm(forms.Form):
    """What of a budget may change."""

    name = forms.CharField(**_text("Name"))
    limit = forms.CharField(**_text("Limit", inputmode="decimal", placeholder="250.00"))
    enforcement = forms.ChoiceField(choices=ENFORCEMENTS, widget=UnfoldAdminSelectWidget)
    thresholds = SharesField(
        **_text(
            "Tell at",
            "Per cents of the limit, ascending: 50, 80, 100.",
            required=False,
            placeholder="80, 100",
        )
    )
    rollover = forms.ChoiceField(label="Rolls over", choices=ROLLOVERS, widget=UnfoldAdminSelectWidget)
    rollover_cap = forms.CharField(
        **_text("Cap", "Where what is left rolls over up to a cap.", required=False, inputmode="decimal")
    )
    ends_on = _day_field("Ends on", "The last local day on which costs count. Empty: it goes on.")

    def __init__(self, *args: Any, budget: Budget, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial = {
            "name": budget.name,
            "limit": format_amount(budget.limit),
            "enforcement": budget.enforcement,
            "thresholds": ", ".join(percent_text(share) for share in budget.thresholds),
            "rollover": budget.rollover,
            "rollover_cap": "" if budget.rollover_cap is None else format_amount(budget.rollover_cap),
            "ends_on": "" if budget.ends_on is None else budget.ends_on.isoformat(),
        }

    def arguments(self) -> dict[str, Any]:
        """What :func:`change_budget` is called with: what was changed, so that nothing else is overwritten."""
        changed = set(self.changed_data)
        if changed & {"rollover", "rollover_cap"}:
            changed |= {"rollover", "rollover_cap"}
        said = {name: self.cleaned_data[name] for name in changed}
        if "limit" in said:
            said["limit"] = said["limit"].strip()
        if "rollover_cap" in said:
            said["rollover_cap"] = said["rollover_cap"].strip() or None
        return said


class BudgetForm(forms.Form):
    """A new budget."""

    name = forms.CharField(**_text("Name", placeholder="Support bots"))
    entity_type = forms.CharField(
        **_text(
            "Whose spending",
            "agent, team, user … or <code>*</code> for the whole fleet.",
            placeholder="agent",
        )
    )
    entity_id = forms.CharField(
        **_text(
            "Id",
            "Of one of them, or <code>*</code>: each of them has an allowance of its own.",
            required=False,
            placeholder="support-bot",
        )
    )
    limit = forms.CharField(**_text("Limit", inputmode="decimal", placeholder="250.00"))
    currency = forms.ChoiceField(
        choices=[(code, code) for code in sorted(CURRENCIES)], widget=UnfoldAdminSelectWidget
    )
    period = forms.ChoiceField(
        choices=[*((unit, f"{word}") for unit, word in PERIODS.items()), (ROLLING, "Rolling days")],
        widget=UnfoldAdminSelectWidget,
    )
    rolling_days = forms.IntegerField(
        label="Days of a rolling window",
        required=False,
        help_text="With rolling days alone: 1 to 366.",
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "numeric", "placeholder": "30"}),
    )
    timezone = forms.CharField(**_text("Time zone", "Where days begin: Europe/Berlin."))
    enforcement = forms.ChoiceField(choices=ENFORCEMENTS, widget=UnfoldAdminSelectWidget)
    thresholds = SharesField(
        **_text(
            "Tell at",
            "Per cents of the limit, ascending: 50, 80, 100.",
            required=False,
            placeholder="80, 100",
        )
    )
    rollover = forms.ChoiceField(label="Rolls over", choices=ROLLOVERS, widget=UnfoldAdminSelectWidget)
    rollover_cap = forms.CharField(
        **_text("Cap", "Where what is left rolls over up to a cap.", required=False, inputmode="decimal")
    )
    parent = forms.ChoiceField(
        label="Below",
        required=False,
        help_text="What counts here counts there too, as far as its filters let it through.",
        widget=UnfoldAdminSelectWidget,
    )
    starts_on = _day_field(
        "Starts on", "The first local day on which costs count. Empty: the current period."
    )
    ends_on = _day_field("Ends on", "The last local day on which costs count. Empty: it goes on.")
    provider = NamesField(**_text("Only these providers", "Separated by commas. Empty: all.", required=False))
    model = NamesField(**_text("Only these models", "Separated by commas. Empty: all.", required=False))
    cost_type = forms.MultipleChoiceField(
        label="Only these cost types",
        choices=list(COST_TYPES.items()),
        required=False,
        help_text="None chosen: all.",
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )
    tags = TagsField(
        label="Only with these tags",
        required=False,
        help_text="One a line: <code>env=prod</code>.",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )

    field_order = (
        "name", "enforcement", "entity_type", "entity_id", "limit", "currency", "period", "rolling_days", "timezone",
        "thresholds", "rollover", "rollover_cap", "starts_on", "ends_on", "provider", "model", "parent", "cost_type",
        "tags",
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial = {
            "currency": settings.BASE_CURRENCY,
            "period": "month",
            "timezone": "UTC",
            "enforcement": "soft",
            "thresholds": "80, 100",
            "rollover": "none",
            **self.initial,
        }
        parents = list_budgets().exclude(entity=None).order_by("name", "id")[:MOST_PARENTS]
        named = [
            (str(row.pk), f"{row.name} ({amount(row.limit, row.currency)}, {period_words(row).lower()})")
            for row in parents
        ]
        parent = self.fields["parent"]
        assert isinstance(parent, forms.ChoiceField)
        parent.choices = [("", "No other budget"), *named]

    def arguments(self) -> dict[str, Any]:
        """What :func:`create_budget` is called with."""
        said = dict(self.cleaned_data)
        days = said.pop("rolling_days")
        if said["period"] == ROLLING:
            said["period"] = f"rolling:{'' if days is None else days}d"
        filters = {name: said.pop(name) for name in ("cost_type", "provider", "model", "tags")}
        return {
            **said,
            "limit": said["limit"].strip(),
            "entity_id": said["entity_id"].strip() or None,
            "entity_type": said["entity_type"].strip(),
            "timezone": said["timezone"].strip(),
            "rollover_cap": said["rollover_cap"].strip() or None,
            "parent": said["parent"] or None,
            "filters": filters,
        }


class OverrideForm(forms.Form):
    """More money for a while."""

    amount = forms.CharField(**_text("How much more", inputmode="decimal", placeholder="50.00"))
    until = moment_field("Until (UTC)", "From then on the limit is what it was.")
    entity_id = forms.CharField(
        **_text("Whose allowance", "The id. Empty: everybody's.", required=False, placeholder="support-bot")
    )
    reason = forms.CharField(**_text("Reason", "For the person who approves it, and for later."))

    def __init__(self, *args: Any, budget: Budget, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["until"].required = True
        self.fields["amount"].help_text = f"In {budget.currency}, on top of {format_amount(budget.limit)}."
        if budget.entity_id is not None:
            del self.fields["entity_id"]

    def arguments(self) -> dict[str, Any]:
        """What :func:`request_override` is called with."""
        said = self.cleaned_data
        return {
            "amount": said["amount"].strip(),
            "until": said["until"].astimezone(UTC),
            "reason": said["reason"],
            "entity_id": said.get("entity_id", "").strip() or None,
        }
