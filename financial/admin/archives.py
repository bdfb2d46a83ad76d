"""Archives: the months whose ledger rows were written to files."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import display

from agent_factory_site.common.admin.base import ReadOnlyAdmin
from agent_factory_site.common.templatetags.agent_factory import grouped, money
from financial.models import LedgerArchive
from financial.selectors.archives import list_archives

STATE_COLOURS = {
    "exporting": "info",
    "exported": "info",
    "removing": "warning",
    "archived": "success",
    "restoring": "warning",
    "restored": "info",
}


@admin.register(LedgerArchive)
class LedgerArchiveAdmin(ReadOnlyAdmin):
    """Each archive file, its sums and its hash."""

    scopes: ClassVar = {"view": "financial:read"}

    list_display = ("month", "state_label", "row_count", "total", "file_name", "finished_at")
    search_fields = ("file_name", "sha256")
    search_help_text = "File name or SHA-256"
    ordering = ("-id",)
    fields = (
        "month", "state_label", "row_count", "attributions", "charges", "unpriced", "total", "amounts_by_currency",
        "folder", "file_name", "bytes", "sha256", "created_at", "removal_started_at", "finished_at", "restored_at",
    )  # fmt: skip
    readonly_fields = ("month", "state_label", "row_count", "total", "amounts_by_currency")
    empty_words = "All ledger rows are in the database. manage.py archive_ledger moves old months to files."

    def get_queryset(self, request: HttpRequest) -> QuerySet[LedgerArchive]:
        return list_archives()

    @admin.display(description="Month")
    def month(self, archive: LedgerArchive) -> str:
        return archive.month

    @display(description="State", label=STATE_COLOURS)
    def state_label(self, archive: LedgerArchive) -> str:
        return str(archive.state)

    @admin.display(description="Rows")
    def row_count(self, archive: LedgerArchive) -> SafeString:
        return grouped(archive.rows)

    @admin.display(description="Amount")
    def total(self, archive: LedgerArchive) -> SafeString:
        return money(archive.base_amount, settings.BASE_CURRENCY)

    @admin.display(description="By currency")
    def amounts_by_currency(self, archive: LedgerArchive) -> SafeString:
        shown = ((money(amount, currency),) for currency, amount in sorted(archive.amounts.items()))
        return format_html_join(", ", "{}", shown)
