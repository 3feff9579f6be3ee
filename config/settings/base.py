"""Settings common to every environment; each value that differs by machine is read from the environment."""

from __future__ import annotations

from pathlib import Path

from csp.constants import NONE, SELF

from config import embedded, env

BASE_DIR = Path(__file__).resolve().parent.parent.parent
VAR_DIR = Path(env.text("PLUMBLINE_VAR", str(BASE_DIR / "var"))).resolve()

DEBUG = False
SECRET_KEY = env.text("SECRET_KEY", "insecure-development-key-refused-in-production")
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", [])
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS", [])

_embedded_database, _embedded_redis = embedded.urls()
DATABASE_URL = env.text("DATABASE_URL", _embedded_database)
REDIS_URL = env.text("REDIS_URL", _embedded_redis)

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.admin",
    "django.contrib.humanize",
    "django_htmx",
    "template_partials",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "accounts",
    "annotation",
    "runs",
    "reward",
    "policy",
    "config",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "accounts.middleware.PolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "accounts.middleware.TimezoneMiddleware",
    "accounts.middleware.LanguageMiddleware",
    "accounts.middleware.RefusedMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "accounts.context.navigation",
            ],
        },
    },
]

DATABASE_PREPARED = env.boolean("DATABASE_PREPARED", True)
"""Statements are prepared: PostgreSQL plans each once per connection. Off behind a pooler that shares connections."""
DATABASES = {
    "default": {
        **env.database(DATABASE_URL, is_prepared=DATABASE_PREPARED),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.throttling.ThrottledBackend"]
NUM_PROXIES = env.integer("NUM_PROXIES", 0)
"""Proxies in front of the site: so many addresses at the end of `X-Forwarded-For` are believed."""
LOGIN_URL = "accounts:sign-in"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "accounts:sign-in"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LOCALE_PATHS = [BASE_DIR / "locale"]
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_AGE = 365 * 24 * 3600
FORMAT_MODULE_PATH = ["config.formats"]
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = VAR_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]

ARTIFACT_URL = env.text("ARTIFACT_URL", "")
"""Empty: files under var/artifacts. Otherwise the dotted path of a django-storages backend."""
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": VAR_DIR / "media"}},
    "artifacts": {
        "BACKEND": ARTIFACT_URL or "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {} if ARTIFACT_URL else {"location": VAR_DIR / "artifacts"},
    },
    "staticfiles": {"BACKEND": "config.storage.StaticStorage"},
}

RUNS_DIR = VAR_DIR / "runs"
MODELS_DIR = VAR_DIR / "models"
MODEL_ROOTS = env.paths("MODEL_ROOTS", [MODELS_DIR])
RUN_HEARTBEAT_SECONDS = env.integer("RUN_HEARTBEAT_SECONDS", 5)
RUN_DEAD_AFTER_SECONDS = env.integer("RUN_DEAD_AFTER_SECONDS", 60)
RUN_LAUNCH = env.text("RUN_LAUNCH", "")
"""Command put before `-m reward.training RUN_DIR`, as `accelerate launch`; from the environment only."""
RUN_THREADS = env.integer("RUN_THREADS", 0)
"""CPU threads of a training process; 0 leaves the choice to the number of cores."""
RUN_DEVICE = env.text("RUN_DEVICE", "cpu")
"""Device of training processes, as PyTorch names it."""
TENSORBOARD_DIR = env.text("TENSORBOARD_DIR", "")
"""Where workers write a running run's scalars for TensorBoard, under <kind>/<title>-<short id>/; empty: nowhere."""
RUN_PROBE = env.text("RUN_PROBE", "reward.training.machine")
"""Module that measures a worker's machine when the worker starts, in a process of its own; empty measures nothing."""
IMPORT_MAX_BYTES = env.integer("IMPORT_MAX_BYTES", 64 * 1024 * 1024)
PROMPT_MAX_CHARACTERS = env.integer("PROMPT_MAX_CHARACTERS", 32_000)
COMPLETION_MAX_CHARACTERS = env.integer("COMPLETION_MAX_CHARACTERS", 64_000)
DATA_UPLOAD_MAX_MEMORY_SIZE = IMPORT_MAX_BYTES
FILE_UPLOAD_MAX_MEMORY_SIZE = 4 * 1024 * 1024

CELERY_BROKER_URL = embedded.broker_url(REDIS_URL)
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR_DIR / "beat" / "schedule")
CELERY_BEAT_SCHEDULE = {
    "expire-leases": {"task": "annotation.tasks.expire_leases", "schedule": 30.0},
    "recover-runs": {"task": "runs.tasks.recover_runs", "schedule": 10.0},
}

SESSION_ENGINE = "accounts.sessions"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
        "manifest-src": [SELF],
    },
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "knox.auth.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "accounts.api.negotiation.SoleRenderer",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": [
        "accounts.api.parsers.StrictJSONParser",
        "rest_framework.parsers.MultiPartParser",
    ],
    "DEFAULT_PAGINATION_CLASS": "accounts.api.base.CursorPagination",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "accounts.api.base.exception_handler",
    "PAGE_SIZE": 50,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Plumbline API",
    "DESCRIPTION": "The loop of reinforcement learning from human feedback: campaigns, work, runs, models.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}
REST_KNOX = {"TOKEN_TTL": None, "AUTO_REFRESH": False}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.text("LOG_LEVEL", "INFO")},
}
