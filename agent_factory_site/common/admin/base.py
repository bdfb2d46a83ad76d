"""The base of our admin screens: who may see them, what they may do there, how a refusal is shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Final

from django.contrib import messages
from django.contrib.admin import ShowFacets
from django.contrib.admin.utils import unquote
from django.core.exceptions import NON_FIELD_ERRORS, PermissionDenied
from django.db.models import Model
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.http import urlencode
from unfold.admin import ModelAdmin

from agent_factory_site.common.errors import DomainError
from agent_factory_site.common.models import User
from agent_factory_site.common.scopes import covers
from agent_factory_site.common.selectors.scopes import scopes_of_user

DEED: Final = ("view", "add", "change", "delete")


def holds_scope(request: HttpRequest, scope: str) -> bool:
    """Whether the person asking holds ``scope``, as an API key would."""
    user = request.user
    return isinstance(user, User) and covers(scopes_of_user(user), scope)


class ScopedAdmin(ModelAdmin):  # type: ignore[misc]
    """A screen that opens to Django's permission on the model, or to the scope that says the same on the API.

    ``scopes`` maps view, add, change and delete to a scope; what is not named there needs Django's
    permission. Everything else is denied. ``empty_words`` stand in an empty list.
    """

    scopes: ClassVar[Mapping[str, str]] = {}
    empty_words: ClassVar[str] = ""

    list_filter_submit = True
    list_fullwidth = True
    list_per_page = 50
    # Counting every choice of every filter reads the table once for each.
    show_facets = ShowFacets.NEVER
    compressed_fields = True

    def _permitted(self, request: HttpRequest, deed: str) -> bool:
        scope = self.scopes.get(deed)
        return scope is not None and holds_scope(request, scope)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return (
            bool(super().has_view_permission(request, obj))
            or self._permitted(request, "view")
            or self.has_change_permission(request, obj)
        )

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return bool(super().has_add_permission(request, *args)) or self._permitted(request, "add")

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return bool(super().has_change_permission(request, obj)) or self._permitted(request, "change")

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return bool(super().has_delete_permission(request, obj)) or self._permitted(request, "delete")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request) or self.has_add_permission(request)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        """The history of a row is what the audit trail holds of it, for whoever may read the trail."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        query = urlencode({"target": self.model._meta.label, "target_id": unquote(object_id)})
        return HttpResponseRedirect(f"{reverse('admin:common_auditevent_changelist')}?{query}")


class ReadOnlyAdmin(ScopedAdmin):
    """A screen that shows rows nobody writes by hand."""

    actions = None

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def refuse_in_form(form: BaseForm, error: DomainError) -> None:
    """Put what a service refused beside the fields it is about, the rest above the form."""
    left = []
    for problem in error.errors:
        steps = problem.pointer.strip("/").split("/")
        name = next((step for step in reversed(steps) if step in form.fields), None)
        if name is not None:
            form.add_error(name, problem.detail)
        else:
            left.append(f"{'/'.join(steps)}: {problem.detail}" if problem.pointer else problem.detail)
    if left or not error.errors:
        form.add_error(NON_FIELD_ERRORS, left or error.detail)


@contextmanager
def refusals_as_messages(request: HttpRequest) -> Iterator[None]:
    """Show what a service refuses within the block as an error message on the next page."""
    try:
        yield
    except DomainError as error:
        messages.error(request, str(error))
