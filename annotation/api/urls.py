from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from annotation.api import campaigns, content, quality, work

urlpatterns: list[URLPattern | URLResolver] = [
    path("work/", work.Work.as_view(), name="api-work"),
    path("work/<uuid:public_id>/next/", work.WorkNext.as_view(), name="api-work-next"),
    path("work/<uuid:public_id>/rankings/", work.WorkRankings.as_view(), name="api-work-rankings"),
    path("rankings/<uuid:public_id>/revise/", work.RankingRevise.as_view(), name="api-ranking-revise"),
    path("rankings/<uuid:public_id>/withdraw/", work.RankingWithdraw.as_view(), name="api-ranking-withdraw"),
    path("leases/<uuid:public_id>/", work.LeaseDetail.as_view(), name="api-lease-detail"),
    path("leases/<uuid:public_id>/submit/", work.LeaseSubmit.as_view(), name="api-lease-submit"),
    path("leases/<uuid:public_id>/skip/", work.LeaseSkip.as_view(), name="api-lease-skip"),
    path("leases/<uuid:public_id>/report/", work.LeaseReport.as_view(), name="api-lease-report"),
    path("leases/<uuid:public_id>/release/", work.LeaseRelease.as_view(), name="api-lease-release"),
    path("leases/<uuid:public_id>/renew/", work.LeaseRenew.as_view(), name="api-lease-renew"),
    path("leases/<uuid:public_id>/draft/", work.LeaseDraft.as_view(), name="api-lease-draft"),
    path("campaigns/", campaigns.Campaigns.as_view(), name="api-campaign-list"),
    path("campaigns/<uuid:public_id>/", campaigns.CampaignDetail.as_view(), name="api-campaign-detail"),
    path("campaigns/<uuid:public_id>/open/", campaigns.CampaignOpen.as_view(), name="api-campaign-open"),
    path("campaigns/<uuid:public_id>/close/", campaigns.CampaignClose.as_view(), name="api-campaign-close"),
    path("campaigns/<uuid:public_id>/archive/", campaigns.CampaignArchive.as_view(), name="api-campaign-archive"),
    path("campaigns/<uuid:public_id>/progress/", campaigns.CampaignProgress.as_view(), name="api-campaign-progress"),
    path("campaigns/<uuid:public_id>/agreement/", campaigns.CampaignAgreement.as_view(), name="api-campaign-agreement"),
    path("campaigns/<uuid:public_id>/labelers/", campaigns.CampaignLabelers.as_view(), name="api-campaign-labelers"),
    path("campaigns/<uuid:public_id>/guidelines/", campaigns.Guidelines.as_view(), name="api-guideline-list"),
    path("campaigns/<uuid:public_id>/members/", campaigns.Members.as_view(), name="api-member-list"),
    path(
        "campaigns/<uuid:public_id>/members/<uuid:user_id>/",
        campaigns.MemberDetail.as_view(),
        name="api-member-detail",
    ),
    path("campaigns/<uuid:public_id>/simulate/", campaigns.Simulate.as_view(), name="api-campaign-simulate"),
    path("campaigns/<uuid:public_id>/prompts/", content.Prompts.as_view(), name="api-prompt-list"),
    path("campaigns/<uuid:public_id>/completions/", content.Completions.as_view(), name="api-completion-list"),
    path("campaigns/<uuid:public_id>/tasks/", content.Tasks.as_view(), name="api-task-list"),
    path("campaigns/<uuid:public_id>/rankings/", content.Rankings.as_view(), name="api-ranking-list"),
    path("campaigns/<uuid:public_id>/import/", content.Import.as_view(), name="api-campaign-import"),
    path("campaigns/<uuid:public_id>/quality/", quality.CampaignQuality.as_view(), name="api-campaign-quality"),
    path("campaigns/<uuid:public_id>/known-orders/", quality.KnownOrders.as_view(), name="api-known-order-list"),
    path(
        "campaigns/<uuid:public_id>/known-orders/<uuid:task_id>/",
        quality.KnownOrderDetail.as_view(),
        name="api-known-order-detail",
    ),
    path(
        "campaigns/<uuid:public_id>/known-orders/<uuid:task_id>/archive/",
        quality.KnownOrderArchive.as_view(),
        name="api-known-order-archive",
    ),
    path(
        "campaigns/<uuid:public_id>/labeler-quality/",
        quality.LabelerQualityList.as_view(),
        name="api-labeler-quality-list",
    ),
    path(
        "campaigns/<uuid:public_id>/members/<uuid:user_id>/reading/",
        quality.MemberReading.as_view(),
        name="api-member-reading",
    ),
    path(
        "campaigns/<uuid:public_id>/members/<uuid:user_id>/try-again/",
        quality.MemberTryAgain.as_view(),
        name="api-member-try-again",
    ),
    path(
        "campaigns/<uuid:public_id>/members/<uuid:user_id>/wave-through/",
        quality.MemberWaveThrough.as_view(),
        name="api-member-wave-through",
    ),
    path("campaigns/<uuid:public_id>/reports/", quality.Reports.as_view(), name="api-report-list"),
    path(
        "campaigns/<uuid:public_id>/reports/<uuid:report_id>/resolve/",
        quality.ReportResolve.as_view(),
        name="api-report-resolve",
    ),
]
