"""Buttons that services stand behind: rows that people make, change and put away, and steps that take a reason."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm

from .base import ReadOnlyAdmin, holds_scope


class KeptRowsAdmin(ReadOnlyAdmin):
    """Rows that services make and change, and archive in the place of deleting them (``archived_at``).

    Who holds ``write_scope``, or Django's permission to change the model, may.
    """

    write_scope: ClassVar[str]

    def may_write(self, request: HttpRequest) -> bool:
        """Whether the person may make and change rows."""
        permission = f"{self.opts.app_label}.change_{self.opts.model_name}"
        return holds_scope(request, self.write_scope) or request.user.has_perm(permission)

    def may_change(self, request: HttpRequest, object_id: Any, **state: Any) -> bool:
        """Whether the person may change the row, and it is in use and in ``state``."""
        if not self.may_write(request):
            return False
        rows = self.model._default_manager.filter(pk=object_id, archived_at=None, **state)
        return object_id is None or rows.exists()

    def has_make_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whether the person may make rows."""
        return self.may_write(request)

    def has_edit_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whether the person may change this one."""
        return self.may_change(request, object_id)

    def page_of(self, object_id: Any) -> str:
        """The address of a row's page."""
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[object_id])

    def back_to(self, object_id: Any) -> HttpResponse:
        """What a dialog is answered with: the row's page anew."""
        return HttpResponse(headers={"HX-Redirect": self.page_of(object_id)})


def reasoned_step(
    name: str,
    service: Callable[..., Any],
    done: str,
    *,
    icon: str,
    title: str,
    text: str,
    form: type[BaseDialogForm],
    variant: ActionVariant | None = None,
) -> Any:
    """A button called ``name``, with a permission of that name, whose dialog asks for a reason.

    The admin's ``carry_out(request, object_id, call, done)`` calls the service with its row and tells that it ``done``.
    """

    def step(self: Any, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        call = partial(service, reason=form.cleaned_data["reason"])
        answer: HttpResponse = self.carry_out(request, object_id, call, done)
        return answer

    step.__name__ = name
    return action(
        description=name.capitalize(),
        icon=icon,
        permissions=[name],
        url_path=name,
        dialog={
            "title": title,
            "description": text,
            "form_class": form,
            "form_submit_text": f"{name.capitalize()} it",
        },
        **({} if variant is None else {"variant": variant}),
    )(step)
