"""Archives: the months whose ledger rows were written to files."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import display

from agent_factory_site.common.admin.base import ReadOnlyAdmin
from agent_factory_site.common.templatetags.agent_factory import grouped, money, utc
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
STATE_WORDS = {
    "exporting": "the file is being written; all rows are in the database.",
    "exported": "the file is written and compared; all rows are in the database.",
    "removing": "the rows are being taken out of the database.",
    "archived": "the rows are in the file alone. manage.py restore_archive {name} puts them back.",
    "restoring": "the rows are being put back; manage.py restore_archive {name} completes it.",
    "restored": "the rows are in the database again.",
}


@admin.register(LedgerArchive)
class LedgerArchiveAdmin(ReadOnlyAdmin):
    """Each archive file, its sums and its hash."""

    scopes: ClassVar = {"view": "financial:read"}

    list_display = ("month", "state_label", "row_count", "total", "file_name", "archived")
    search_fields = ("file_name", "sha256")
    search_help_text = "File name or SHA-256"
    ordering = ("-id",)
    fields = (
        "month", "state_words", "row_count", "seen_by", "charge_count", "unpriced_count", "total",
        "amounts_by_currency", "folder", "file_name", "size", "hash", "archived", "restored",
    )  # fmt: skip
    readonly_fields = fields
    empty_words = "All ledger rows are in the database. manage.py archive_ledger moves old months to files."

    def get_queryset(self, request: HttpRequest) -> QuerySet[LedgerArchive]:
        return list_archives()

    @admin.display(description="Month")
    def month(self, archive: LedgerArchive) -> str:
        return archive.month

    @display(description="State", label=STATE_COLOURS)
    def state_label(self, archive: LedgerArchive) -> str:
        return str(archive.state)

    @admin.display(description="State")
    def state_words(self, archive: LedgerArchive) -> SafeString:
        return format_html("{}: {}", archive.state, STATE_WORDS[archive.state].format(name=archive.file_name))

    @admin.display(description="Rows")
    def row_count(self, archive: LedgerArchive) -> SafeString:
        return grouped(archive.rows)

    @admin.display(description="Attributions to entities")
    def seen_by(self, archive: LedgerArchive) -> SafeString:
        return grouped(archive.attributions)

    @admin.display(description="Charges")
    def charge_count(self, archive: LedgerArchive) -> SafeString:
        return grouped(archive.charges)

    @admin.display(description="Of them unpriced")
    def unpriced_count(self, archive: LedgerArchive) -> SafeString:
        return grouped(archive.unpriced)

    @admin.display(description="Size in bytes")
    def size(self, archive: LedgerArchive) -> SafeString:
        return grouped(archive.bytes)

    @admin.display(description="SHA-256 of the file")
    def hash(self, archive: LedgerArchive) -> str:
        return archive.sha256 or "–"

    @admin.display(description="Archived", ordering="finished_at")
    def archived(self, archive: LedgerArchive) -> str:
        return utc(archive.finished_at)

    @admin.display(description="Restored")
    def restored(self, archive: LedgerArchive) -> str:
        return utc(archive.restored_at)

    @admin.display(description="Amount")
    def total(self, archive: LedgerArchive) -> SafeString:
        return money(archive.base_amount, settings.BASE_CURRENCY)

    @admin.display(description="By currency")
    def amounts_by_currency(self, archive: LedgerArchive) -> SafeString:
        shown = ((money(amount, currency),) for currency, amount in sorted(archive.amounts.items()))
        return format_html_join(", ", "{}", shown)
