from __future__ import annotations

from django.urls import path

from annotation.views import campaigns, desk, people, quality, work

app_name = "annotation"
urlpatterns = [
    path("work/", work.work, name="work"),
    path("work/<uuid:public_id>/next/", work.work_next, name="work-next"),
    path("work/<uuid:public_id>/ahead/", work.work_ahead, name="work-ahead"),
    path("work/<uuid:public_id>/progress/", desk.work_progress_part, name="work-progress"),
    path("work/<uuid:public_id>/recent/", desk.work_recent, name="work-recent"),
    path("work/leases/<uuid:public_id>/", work.lease, name="lease"),
    path("work/leases/<uuid:public_id>/submit/", work.lease_submit, name="lease-submit"),
    path("work/leases/<uuid:public_id>/send/", work.lease_send, name="lease-send"),
    path("work/leases/<uuid:public_id>/compare/", desk.lease_compare, name="lease-compare"),
    path("work/leases/<uuid:public_id>/report/", desk.lease_report, name="lease-report"),
    path("work/leases/<uuid:public_id>/skip/", work.lease_skip, name="lease-skip"),
    path("work/leases/<uuid:public_id>/release/", work.lease_release, name="lease-release"),
    path("work/leases/<uuid:public_id>/renew/", work.lease_renew, name="lease-renew"),
    path("work/leases/<uuid:public_id>/draft/", work.lease_draft, name="lease-draft"),
    path("work/rankings/<uuid:public_id>/revise/", desk.ranking_revise, name="ranking-revise"),
    path("work/rankings/<uuid:public_id>/withdraw/", desk.ranking_withdraw, name="ranking-withdraw"),
    path("campaigns/", campaigns.campaign_list, name="campaign-list"),
    path("campaigns/new/", campaigns.campaign_create, name="campaign-create"),
    path("campaigns/<uuid:public_id>/", campaigns.campaign_detail, name="campaign-detail"),
    path("campaigns/<uuid:public_id>/edit/", campaigns.campaign_edit, name="campaign-edit"),
    path("campaigns/<uuid:public_id>/guidelines/", campaigns.campaign_guidelines, name="campaign-guidelines"),
    path("campaigns/<uuid:public_id>/import/", campaigns.campaign_import, name="campaign-import"),
    path("campaigns/<uuid:public_id>/members/", campaigns.campaign_members, name="campaign-members"),
    path("campaigns/<uuid:public_id>/members/remove/", campaigns.member_remove, name="member-remove"),
    path("campaigns/<uuid:public_id>/members/<uuid:user_id>/", people.member_detail, name="member-detail"),
    path(
        "campaigns/<uuid:public_id>/members/<uuid:user_id>/try-again/", people.member_try_again, name="member-try-again"
    ),
    path(
        "campaigns/<uuid:public_id>/members/<uuid:user_id>/wave-through/",
        people.member_wave_through,
        name="member-wave-through",
    ),
    path("campaigns/<uuid:public_id>/quality/", quality.quality_plan, name="quality-plan"),
    path("campaigns/<uuid:public_id>/known-orders/", quality.known_order_list, name="known-order-list"),
    path(
        "campaigns/<uuid:public_id>/known-orders/new/<uuid:task_id>/",
        quality.known_order_create,
        name="known-order-create",
    ),
    path(
        "campaigns/<uuid:public_id>/known-orders/<uuid:task_id>/",
        quality.known_order_change,
        name="known-order-change",
    ),
    path(
        "campaigns/<uuid:public_id>/known-orders/<uuid:task_id>/archive/",
        quality.known_order_archive,
        name="known-order-archive",
    ),
    path("campaigns/<uuid:public_id>/reports/", quality.report_list, name="report-list"),
    path("campaigns/<uuid:public_id>/reports/<uuid:report_id>/resolve/", quality.report_resolve, name="report-resolve"),
    path("campaigns/<uuid:public_id>/agreement/", campaigns.campaign_agreement, name="campaign-agreement"),
    path("campaigns/<uuid:public_id>/open/", campaigns.campaign_open, name="campaign-open"),
    path("campaigns/<uuid:public_id>/close/", campaigns.campaign_close, name="campaign-close"),
    path("campaigns/<uuid:public_id>/archive/", campaigns.campaign_archive, name="campaign-archive"),
]
