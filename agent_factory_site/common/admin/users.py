"""People, what they may do, and the teams they are in."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import Count, Model, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from agent_factory_site.common.models import Team, User
from agent_factory_site.common.templatetags.agent_factory import ago

from .audited import AuditedAdminMixin
from .base import ScopedAdmin
from .filters import ChoiceFilter

RIGHTS = ("is_superuser", "groups", "user_permissions")
"""What only a superuser gives and takes: whoever could give it could give themselves everything."""


class KindFilter(ChoiceFilter):
    """Who may sign in here."""

    title = label = "Kind"
    parameters = ("kind",)

    def options(self) -> list[tuple[str, str]]:
        return [("staff", "May sign in here"), ("superuser", "Superusers"), ("inactive", "Switched off")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        match self.value:
            case "staff":
                return queryset.filter(is_staff=True, is_active=True)
            case "superuser":
                return queryset.filter(is_superuser=True, is_active=True)
            case "inactive":
                return queryset.filter(is_active=False)
        return queryset


@admin.register(User)
class UserAdmin(ScopedAdmin, DjangoUserAdmin):  # type: ignore[misc]
    """People are switched off rather than deleted: their deeds stay theirs."""

    scopes: ClassVar = {"view": "common:read", "add": "common:admin", "change": "common:admin"}

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "name", "email", "may", "last_seen", "joined")
    list_filter = (KindFilter,)
    search_fields = ("username", "first_name", "last_name", "email")
    ordering = ("username",)
    actions = None
    filter_horizontal = ("groups", "user_permissions")
    readonly_fields = ("last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("username", "password", "must_change_password")}),
        ("Person", {"fields": (("first_name", "last_name"), "email")}),
        ("Rights", {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        ("Dates", {"fields": (("last_login", "date_joined"),)}),
    )
    add_fieldsets = ((None, {"fields": ("username", "email", "password1", "password2", "is_staff")}),)

    @display(description="Name")
    def name(self, user: User) -> str:
        return user.get_full_name() or "–"

    @display(
        description="May",
        label={
            "everything": "danger", "sign in here": "info", "use the API by key": None, "nothing": "warning",
        },
    )  # fmt: skip
    def may(self, user: User) -> str:
        if not user.is_active:
            return "nothing"
        if user.is_superuser:
            return "everything"
        return "sign in here" if user.is_staff else "use the API by key"

    @display(description="Last sign-in", ordering="last_login")
    def last_seen(self, user: User) -> SafeString | str:
        return ago(user.last_login) if user.last_login else "never"

    @display(description="Since", ordering="date_joined")
    def joined(self, user: User) -> SafeString:
        return ago(user.date_joined)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        # Whoever sets a superuser's password is one.
        if isinstance(obj, User) and obj.is_superuser and not self._is_superuser(request):
            return False
        return super().has_change_permission(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        fixed = tuple(super().get_readonly_fields(request, obj))
        return fixed if self._is_superuser(request) else (*fixed, *RIGHTS)

    def _is_superuser(self, request: HttpRequest) -> bool:
        return bool(getattr(request.user, "is_superuser", False))


@admin.register(Team)
class TeamAdmin(ScopedAdmin):
    """Teams of people."""

    scopes: ClassVar = {"view": "common:read", "add": "common:write", "change": "common:write"}

    list_display = ("name", "key", "size", "since")
    search_fields = ("key", "name")
    fields = ("name", "key", "members")
    autocomplete_fields = ("members",)
    prepopulated_fields: ClassVar = {"key": ("name",)}
    actions = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Team]:
        rows: QuerySet[Team] = super().get_queryset(request).annotate(people=Count("members"))
        return rows

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @display(description="People", ordering="people")
    def size(self, team: Any) -> int:
        return int(team.people)

    @display(description="Since", ordering="created_at")
    def since(self, team: Team) -> SafeString:
        return ago(team.created_at)

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        # A key that others refer to does not follow the name.
        return {} if obj else self.prepopulated_fields


# Registered by django.contrib.auth.admin, which is imported above.
admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(AuditedAdminMixin, ScopedAdmin, DjangoGroupAdmin):  # type: ignore[misc]
    """Roles: named sets of permissions."""

    search_fields = ("name",)
    ordering = ("name",)
    actions = None
