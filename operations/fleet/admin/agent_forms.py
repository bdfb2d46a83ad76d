"""What people are asked for when they change an agent."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.forms import BaseDialogForm
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from agent_factory_site.common.models import Team
from operations.fleet.models import Agent


class SuggestingInput(UnfoldAdminTextInputWidget):  # type: ignore[misc]
    """A text with suggestions that are fetched as one types."""

    def __init__(self, url: str) -> None:
        super().__init__(attrs={"data-af-suggest": url, "autocomplete": "off"})

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        listed = {**(attrs or {}), "list": f"af-suggest-{name}"}
        field = super().render(name, value, listed, renderer)
        return format_html('{}<datalist id="af-suggest-{}"></datalist>', field, name)


class ReasonForm(BaseDialogForm):  # type: ignore[misc]
    """Why an agent is switched."""

    reason = forms.CharField(max_length=500, widget=UnfoldAdminTextInputWidget)


class ResumeForm(BaseDialogForm):  # type: ignore[misc]
    """Why an agent runs again, if there is something to say."""

    reason = forms.CharField(max_length=500, required=False, widget=UnfoldAdminTextInputWidget)


class RenameForm(forms.Form):
    """Another key."""

    key = forms.CharField(
        max_length=255,
        widget=UnfoldAdminTextInputWidget,
        help_text="The name under which it sends. What it was called leads to it still.",
        strip=False,
    )

    def __init__(self, *args: Any, agent: Agent, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["key"].initial = agent.key


class MergeForm(forms.Form):
    """The agent that takes this one over."""

    into = forms.CharField(max_length=255, label="Into", help_text="The key of the other agent.")

    def __init__(self, *args: Any, suggest_url: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["into"].widget = SuggestingInput(suggest_url)


class ClaimForm(forms.Form):
    """Whose an agent is."""

    owner = forms.ChoiceField(widget=UnfoldAdminSelectWidget, help_text="The team that answers for it.")
    owner_note = forms.CharField(
        label="Note",
        max_length=500,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Such as whom to ask.",
    )

    def __init__(self, *args: Any, agent: Agent, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        teams = Team.objects.order_by("name", "key").values_list("key", "name")
        choices = [("", "Unknown"), *((key, name or key) for key, name in teams)]
        owner = self.fields["owner"]
        assert isinstance(owner, forms.ChoiceField)
        owner.choices = choices
        owner.required = agent.owner_id is None
        owner.initial = agent.owner.key if agent.owner is not None else ""
        self.fields["owner_note"].initial = agent.owner_note

    def changes(self) -> dict[str, Any]:
        """What the service takes."""
        return {**self.cleaned_data, "owner": self.cleaned_data["owner"] or None}


class AgentForm(ClaimForm):
    """All that may be said of an agent."""

    name = forms.CharField(
        max_length=255, required=False, widget=UnfoldAdminTextInputWidget, help_text="For reading."
    )
    costs_from = forms.ChoiceField(
        label="Costs from",
        required=False,
        choices=Agent.CostsFrom.choices,
        widget=UnfoldAdminSelectWidget,
        help_text="Which of two paths charges its runs; what comes by the other one is compared.",
    )
    keep_content = forms.BooleanField(
        label="Keep prompts and completions",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="Redacted, and only of steps that come from now on.",
    )
    content_days = forms.IntegerField(
        label="For how many days",
        min_value=1,
        max_value=3650,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Then they are deleted.",
    )
    field_order = ("name", "owner", "owner_note", "costs_from", "keep_content", "content_days")

    def __init__(self, *args: Any, agent: Agent, **kwargs: Any) -> None:
        super().__init__(*args, agent=agent, **kwargs)
        for name in ("name", "costs_from", "keep_content", "content_days"):
            self.fields[name].initial = getattr(agent, name)
