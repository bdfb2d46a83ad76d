"""Forms that tell beforehand what they would come to, shared by SLOs and maintenance windows."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse

from agent_factory_site.common.admin.base import ReadOnlyAdmin
from agent_factory_site.common.admin.service_form import service_form_page

from .form_parts import timezone_names


class PreviewedFormsAdmin(ReadOnlyAdmin):
    """An admin whose rows are made and changed in forms with a preview beside them."""

    preview_title: ClassVar[str]
    preview_empty: ClassVar[str]

    def form_page(self, request: HttpRequest, row: Any = None, **arguments: Any) -> HttpResponseBase:
        """The form that changes ``row`` or makes one; ``arguments`` are those of :func:`service_form_page`."""
        return service_form_page(
            self,
            request,
            template="operations/previewed_form.html",
            cancel_url=self._address("changelist") if row is None else self._address("change", row.pk),
            extra={
                "grid": True,
                "preview_url": self._address("preview"),
                "preview_title": self.preview_title,
                "preview_empty": self.preview_empty,
                "timezones": timezone_names(),
            },
            **arguments,
        )

    def in_use(self, request: HttpRequest, object_id: str) -> Any:
        """The row that an action is about."""
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404
        return row

    def to_page(self, number: Any) -> HttpResponse:
        """Go to the page of a row."""
        return HttpResponseRedirect(self._address("change", number))

    def _address(self, page: str, *arguments: Any) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_{page}", args=arguments)
