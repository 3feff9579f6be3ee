from __future__ import annotations

from django.urls import path

from runs import views

app_name = "runs"
urlpatterns = [
    path("", views.run_list, name="run-list"),
    path("compare/", views.run_compare, name="run-compare"),
    path("compare/metrics.csv", views.run_compare_csv, name="run-compare-csv"),
    path("<uuid:public_id>/", views.run_detail, name="run-detail"),
    path("<uuid:public_id>/samples/", views.run_samples, name="run-samples"),
    path("<uuid:public_id>/metrics/", views.run_metrics, name="run-metrics"),
    path("<uuid:public_id>/metrics.csv", views.run_export, {"form": "csv"}, name="run-metrics-csv"),
    path("<uuid:public_id>/metrics.parquet", views.run_export, {"form": "parquet"}, name="run-metrics-parquet"),
    path(
        "<uuid:public_id>/metrics.tfevents", views.run_export, {"form": "tensorboard"}, name="run-metrics-tensorboard"
    ),
    path("<uuid:public_id>/log/", views.run_log, name="run-log"),
    path("<uuid:public_id>/cancel/", views.run_cancel, name="run-cancel"),
]
