"""``/api/v1/financial/ledger-archives``: months of the ledger that were archived."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from agent_factory_site.common.api.fields import InstantField
from agent_factory_site.common.api.views import ApiListView
from agent_factory_site.common.money import format_amount
from financial.models import LedgerArchive
from financial.selectors.archives import list_archives


class LedgerArchiveSerializer(serializers.Serializer):
    """One archive file of one UTC month."""

    id = serializers.UUIDField()
    month = serializers.CharField()
    state = serializers.ChoiceField(choices=LedgerArchive.State.choices)
    file_name = serializers.CharField()
    bytes = serializers.IntegerField()
    sha256 = serializers.CharField()
    rows = serializers.IntegerField()
    attributions = serializers.IntegerField()
    charges = serializers.IntegerField()
    unpriced = serializers.IntegerField()
    amounts = serializers.SerializerMethodField(help_text="Sums by currency.")
    base_amount = serializers.SerializerMethodField()
    created_at = InstantField()
    finished_at = InstantField(allow_null=True)
    restored_at = InstantField(allow_null=True)

    @extend_schema_field(serializers.DictField(child=serializers.CharField()))
    def get_amounts(self, archive: LedgerArchive) -> dict[str, str]:
        return {currency: format_amount(amount) for currency, amount in sorted(archive.amounts.items())}

    def get_base_amount(self, archive: LedgerArchive) -> str:
        return format_amount(archive.base_amount)


class LedgerArchivesView(ApiListView):
    """The archives, the newest first."""

    scopes: ClassVar = {"GET": "financial:read"}
    ordering: ClassVar = ("-id",)
    serializer_class = LedgerArchiveSerializer

    def rows(self, query: dict[str, Any]) -> QuerySet[LedgerArchive]:
        return list_archives()

    @extend_schema(operation_id="list_ledger_archives", summary="Archived months, the newest first")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)
