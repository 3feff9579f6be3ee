"""Who may sign in and with which role. All else is changed through its own pages, which keep the audit record."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts.models import AuditEvent, User, Workspace, WorkspaceMembership


class MembershipInline(admin.TabularInline):  # type: ignore[type-arg]
    model = WorkspaceMembership
    extra = 0


@admin.register(User)
class PlumblineUserAdmin(UserAdmin):  # type: ignore[type-arg]
    inlines = (MembershipInline,)
    fieldsets = (*(UserAdmin.fieldsets or ()), (_("Display"), {"fields": ("timezone", "language")}))


@admin.register(Workspace)
class WorkspaceAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("name", "created_at")
    inlines = (MembershipInline,)


@admin.register(AuditEvent)
class AuditEventAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Read only: the record is append-only."""

    list_display = ("created_at", "actor", "verb", "target")
    list_filter = ("verb",)
    list_select_related = ("actor",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: AuditEvent | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: AuditEvent | None = None) -> bool:
        return False
