"""Lists of any length: pages follow a key instead of an offset, and nothing is counted.

Page 1 and page 100,000 of ten million rows cost the same: one index range of a page's length.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin
from unfold.views import ChangeList

from agent_factory_site.common.errors import Invalid
from agent_factory_site.common.pagination import Ordering, Page, page_of

CURSOR: Final = "cursor"


class KeysetPaginator:
    """What the list's footer needs to know: two links."""

    template_name = "common/keyset_pagination.html"

    def __init__(
        self, per_page: int, newer: str | None, older: str | None, words: tuple[str, str] = ("Newer", "Older")
    ) -> None:
        self.per_page = per_page
        self.newer_word, self.older_word = words
        self.newer = newer
        self.older = older


class KeysetChangeList(ChangeList):  # type: ignore[misc]
    """A change list of which only one page is ever read."""

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[str]:
        return list(self.model_admin.keyset)

    def get_results(self, request: HttpRequest) -> None:
        try:
            page = self.read_page(request, getattr(request, "list_cursor", None))
        except Invalid as refusal:
            raise IncorrectLookupParameters(str(refusal)) from refusal
        newer = self.get_query_string({CURSOR: page.previous}) if page.previous else None
        older = self.get_query_string({CURSOR: page.next}) if page.next else None
        self.model_admin.prepare_page(request, page.rows)
        self.result_list = page.rows
        self.result_count = self.full_result_count = len(page.rows)
        self.show_full_result_count = False
        self.show_admin_actions = True
        self.can_show_all = self.multi_page = False
        self.paginator = KeysetPaginator(self.list_per_page, newer, older, self.model_admin.pager_words)

    def read_page(self, request: HttpRequest, cursor: str | None) -> Page:
        """The rows at ``cursor``."""
        ordering = Ordering.of(self.model, self.model_admin.keyset)
        return page_of(self.queryset, ordering, self.list_per_page, cursor)


class KeysetAdminMixin(ModelAdmin):  # type: ignore[misc]
    """Put before the admin class of a table that has an index on its ``keyset``."""

    keyset: ClassVar[tuple[str, ...]]
    pager_words: ClassVar[tuple[str, str]] = ("Newer", "Older")

    sortable_by = ()
    list_per_page = 100
    show_full_result_count = False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeysetChangeList]:
        return KeysetChangeList

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        query = request.GET.copy()
        if cursors := query.pop(CURSOR, None):
            # Taken out, so that no filter form carries it over into another list.
            request.list_cursor = cursors[-1]  # type: ignore[attr-defined]
        request.GET = query  # type: ignore[assignment]
        response: HttpResponse = super().changelist_view(request, extra_context)
        return response

    def prepare_page(self, request: HttpRequest, rows: list[Any]) -> None:
        """Fetch for all rows of a page at once what their columns will show."""
