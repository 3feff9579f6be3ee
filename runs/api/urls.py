from __future__ import annotations

from django.urls import path

from runs.api import views

urlpatterns = [
    path("runs/", views.RunList.as_view(), name="api-run-list"),
    path("runs/compare/", views.RunComparison.as_view(), name="api-run-compare"),
    path("runs/<uuid:public_id>/", views.RunDetail.as_view(), name="api-run-detail"),
    path("runs/<uuid:public_id>/metrics/", views.RunMetrics.as_view(), name="api-run-metrics"),
    path("runs/<uuid:public_id>/samples/", views.RunSamples.as_view(), name="api-run-samples"),
    path("runs/<uuid:public_id>/log/", views.RunLog.as_view(), name="api-run-log"),
    path("runs/<uuid:public_id>/cancel/", views.RunCancel.as_view(), name="api-run-cancel"),
]
