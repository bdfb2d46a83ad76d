"""The dialogs of what can be done with an experiment."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpRequest
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from research.domain.decision import INCONCLUSIVE, ROLL_BACK, SHIP
from research.domain.values import MAX_UNIT
from research.models import Override, Variant
from research.services.lifecycle import MAX_DECISION, MAX_REASON


class ReasonForm(BaseDialogForm):  # type: ignore[misc]
    """Why, for those who ask later."""

    reason = forms.CharField(
        max_length=MAX_REASON, required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3})
    )


class StopForm(BaseDialogForm):  # type: ignore[misc]
    """What was decided, and why."""

    decision = forms.CharField(
        max_length=MAX_DECISION,
        help_text="What becomes of it, such as <code>ship treatment</code> or <code>keep control</code>.",
        widget=UnfoldAdminTextInputWidget,
    )
    reason = forms.CharField(max_length=MAX_REASON, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}))


def _arms(object_id: Any) -> list[Variant]:
    return list(Variant.objects.filter(experiment=UUID(str(object_id))).order_by("position"))


class DecideForm(BaseDialogForm):  # type: ignore[misc]
    """What comes of it, and why."""

    outcome = forms.ChoiceField(label="Decision", widget=UnfoldAdminSelectWidget)
    reason = forms.CharField(max_length=MAX_REASON, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}))

    def __init__(self, request: HttpRequest, object_id: Any = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, object_id, *args, **kwargs)
        arms = _arms(object_id)
        self.fields["outcome"].choices = [  # type: ignore[attr-defined]
            ("", "Choose …"),
            *((f"{SHIP}:{arm.key}", f"Ship {arm.key}") for arm in arms[1:] if arm.stopped_at is None),
            (ROLL_BACK, f"Roll back: keep {arms[0].key}" if arms else "Roll back"),
            (INCONCLUSIVE, "Inconclusive"),
        ]

    def said(self) -> dict[str, Any]:
        """What the service takes."""
        outcome, _, variant = self.cleaned_data["outcome"].partition(":")
        return {"outcome": outcome, "variant": variant or None, "reason": self.cleaned_data["reason"]}


class ArmStopForm(BaseDialogForm):  # type: ignore[misc]
    """Which arm, and why."""

    variant = forms.ChoiceField(label="Arm", widget=UnfoldAdminSelectWidget)
    reason = forms.CharField(max_length=MAX_REASON, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}))

    def __init__(self, request: HttpRequest, object_id: Any = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, object_id, *args, **kwargs)
        self.fields["variant"].choices = [  # type: ignore[attr-defined]
            (arm.key, arm.key) for arm in _arms(object_id)[1:] if arm.stopped_at is None
        ]


class OverrideForm(BaseDialogForm):  # type: ignore[misc]
    """Which unit is served which variant."""

    unit = forms.CharField(
        max_length=MAX_UNIT,
        help_text="The id of the unit, such as a user's. It is left out of the analysis for good.",
        widget=UnfoldAdminTextInputWidget,
    )
    variant = forms.ChoiceField(widget=UnfoldAdminSelectWidget)

    def __init__(self, request: HttpRequest, object_id: Any = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, object_id, *args, **kwargs)
        self.fields["variant"].choices = [(arm.key, arm.key) for arm in _arms(object_id)]  # type: ignore[attr-defined]


class OverrideRemovalForm(BaseDialogForm):  # type: ignore[misc]
    """Which unit is served as any other again."""

    unit = forms.ChoiceField(widget=UnfoldAdminSelectWidget)

    def __init__(self, request: HttpRequest, object_id: Any = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, object_id, *args, **kwargs)
        rows = Override.objects.filter(experiment=UUID(str(object_id))).order_by("entity__key")
        units = rows.values_list("entity__key", flat=True)
        self.fields["unit"].choices = [(unit, unit) for unit in units]  # type: ignore[attr-defined]
