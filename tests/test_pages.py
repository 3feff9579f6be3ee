"""Every page for every role: who sees it, who is refused, and that it renders without inline script or style."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from accounts.models import Role, User, WorkspaceMembership
from annotation import services
from annotation.models import Campaign, Lease, Ranking, Report
from annotation.tests.planning import make_known
from tests.browser.cast import Cast, Models, add_models, make_cast

pytestmark = pytest.mark.django_db

EVERYBODY = {"labeler": 200, "manager": 200, "researcher": 200, "outsider": 200}
STAFF = {"labeler": 404, "manager": 200, "researcher": 200, "outsider": 404}
STAFF_ANYWHERE = {"labeler": 403, "manager": 200, "researcher": 200, "outsider": 200}
STAFF_WHO_ASK = {"labeler": 403, "manager": 200, "researcher": 200, "outsider": 404}
THE_LABELER = {"labeler": 200, "manager": 404, "researcher": 404, "outsider": 404}
MANAGERS = {"labeler": 404, "manager": 200, "researcher": 403, "outsider": 404}
RESEARCHERS = {"labeler": 404, "manager": 403, "researcher": 200, "outsider": 404}
PAGES = {
    "home": ("", EVERYBODY),
    "annotation:work": ("", EVERYBODY),
    "annotation:lease": ("lease", THE_LABELER),
    "annotation:lease-compare": ("lease", THE_LABELER),
    "annotation:work-progress": ("campaign", THE_LABELER),
    "annotation:work-recent": ("campaign", THE_LABELER),
    "annotation:campaign-list": ("", EVERYBODY),
    "annotation:campaign-create": ("", {"labeler": 403, "manager": 200, "researcher": 403, "outsider": 200}),
    "annotation:campaign-detail": ("campaign", STAFF),
    "annotation:campaign-agreement": ("campaign", STAFF),
    "annotation:campaign-guidelines": ("campaign", STAFF),
    "annotation:campaign-edit": ("campaign", MANAGERS),
    "annotation:campaign-import": ("campaign", MANAGERS),
    "annotation:campaign-members": ("campaign", MANAGERS),
    "annotation:member-detail": ("member", MANAGERS),
    "annotation:quality-plan": ("campaign", MANAGERS),
    "annotation:known-order-list": ("campaign", MANAGERS),
    "annotation:known-order-create": ("task", MANAGERS),
    "annotation:known-order-change": ("known", MANAGERS),
    "annotation:report-list": ("campaign", MANAGERS),
    "runs:run-list": ("", STAFF_ANYWHERE),
    "runs:run-compare": ("compared", STAFF_WHO_ASK),
    "runs:run-compare-csv": ("compared", STAFF_WHO_ASK),
    "runs:run-detail": ("run", STAFF),
    "runs:run-samples": ("run", STAFF),
    "runs:run-metrics": ("run", STAFF),
    "runs:run-metrics-csv": ("run", STAFF),
    "runs:run-metrics-parquet": ("run", STAFF),
    "runs:run-metrics-tensorboard": ("run", STAFF),
    "runs:run-log": ("run", STAFF),
    "reward:version-list": ("", STAFF_ANYWHERE),
    "reward:version-detail": ("version", STAFF),
    "reward:version-scores": ("version", STAFF),
    "reward:snapshot-detail": ("snapshot", STAFF),
    "reward:labeler-detail": ("labeler", STAFF),
    "reward:train": ("campaign", RESEARCHERS),
    "reward:completion-detail": ("completion", STAFF),
    "policy:checkpoint-list": ("", STAFF_ANYWHERE),
    "policy:checkpoint-import": ("", {"labeler": 403, "manager": 403, "researcher": 200, "outsider": 200}),
    "policy:checkpoint-detail": ("checkpoint", STAFF),
    "policy:ppo": ("checkpoint", RESEARCHERS),
    "policy:dpo": ("checkpoint", RESEARCHERS),
    "policy:sft": ("checkpoint", RESEARCHERS),
    "policy:sample": ("campaign", RESEARCHERS),
    "policy:follow": ("campaign", RESEARCHERS),
    "policy:study-create": ("campaign", RESEARCHERS),
    "policy:study-detail": ("study", STAFF),
}
POSTS = {
    "annotation:work-next": "campaign",
    "annotation:work-ahead": "campaign",
    "annotation:lease-send": "lease",
    "annotation:lease-report": "lease",
    "annotation:ranking-revise": "ranking",
    "annotation:ranking-withdraw": "ranking",
    "annotation:member-remove": "campaign",
    "annotation:campaign-open": "campaign",
    "annotation:campaign-close": "campaign",
    "annotation:campaign-archive": "campaign",
    "annotation:member-try-again": "member",
    "annotation:member-wave-through": "member",
    "annotation:known-order-archive": "task",
    "annotation:report-resolve": "report",
    "annotation:lease-submit": "lease",
    "annotation:lease-skip": "lease",
    "annotation:lease-release": "lease",
    "annotation:lease-renew": "lease",
    "annotation:lease-draft": "lease",
    "runs:run-cancel": "run",
    "reward:ask-again": "version",
    "reward:version-score": "version",
    "reward:version-order-queue": "version",
    "reward:completion-explain": "completion",
    "reward:labeler-set-aside": "labeler",
    "reward:labeler-take-back": "labeler",
    "policy:checkpoint-verify": "checkpoint",
    "policy:unfollow": "campaign",
}
FILES = {"reward:snapshot-preferences"}
"""No pages, but files to take away; the tests of their room say who may."""
INLINE = re.compile(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|hx-on", re.IGNORECASE)


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


@pytest.fixture
def models(cast: Cast) -> Models:
    return add_models(cast)


@pytest.fixture
def ids(cast: Cast, models: Models) -> dict[str, object]:
    return ids_of(cast, models)


def ids_of(cast: Cast, models: Models) -> dict[str, object]:
    """What stands in the addresses of the pages, by the words of the tables above."""
    labeler = services.labeler_for(workspace=cast.workspace, user=cast.labeler)
    lease = services.claim_task(campaign=cast.campaign, labeler=labeler)
    assert lease is not None
    report = Report.objects.create(task=lease.task, labeler=labeler, kind="other", text="<script>alert(1)</script>")
    return {
        "campaign": cast.campaign.public_id,
        "member": (cast.campaign.public_id, cast.labeler.public_id),
        "task": (cast.campaign.public_id, lease.task.public_id),
        "known": (cast.campaign.public_id, make_known(cast.campaign).public_id),
        "report": (cast.campaign.public_id, report.public_id),
        "labeler": (cast.campaign.public_id, labeler.public_id),
        "lease": lease.public_id,
        "ranking": Ranking.objects.filter(labeler=labeler).latest("pk").public_id,
        "run": models.ppo.public_id,
        "compared": {"run": [models.ppo.public_id, models.version.run.public_id]},
        "version": models.version.public_id,
        "snapshot": models.snapshot.public_id,
        "completion": models.explanation.completion.public_id,
        "checkpoint": models.trained.public_id,
        "study": models.study.public_id,
    }


def signed_in(user: User) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def address(name: str, kind: str, ids: dict[str, object]) -> str:
    named = ids[kind] if kind else ()
    if isinstance(named, dict):
        return f"{reverse(name)}?{urlencode(named, doseq=True)}"
    return reverse(name, args=named if isinstance(named, tuple) else [named])


def test_every_page_shows_itself_to_exactly_its_roles(cast: Cast, ids: dict[str, object]) -> None:
    for role in ("labeler", "manager", "researcher", "outsider"):
        client = signed_in(getattr(cast, role))
        found = {name: client.get(address(name, kind, ids)).status_code for name, (kind, _allowed) in PAGES.items()}
        assert found == {name: allowed[role] for name, (_kind, allowed) in PAGES.items()}, role


def test_no_page_of_ours_is_missing_from_the_tables_above() -> None:
    from accounts.urls import urlpatterns as accounts
    from annotation.urls import urlpatterns as annotation
    from policy.urls import urlpatterns as policy
    from reward.urls import urlpatterns as reward
    from runs.urls import urlpatterns as runs

    rooms = {"accounts": accounts, "annotation": annotation, "runs": runs, "reward": reward, "policy": policy}
    named = {f"{room}:{pattern.name}" for room, patterns in rooms.items() for pattern in patterns}

    assert named == {*PAGES, *POSTS, *FILES, "accounts:sign-in", "accounts:sign-out", "accounts:language"} - {"home"}


def test_who_is_not_signed_in_is_asked_to(ids: dict[str, object]) -> None:
    for name, (kind, _allowed) in PAGES.items():
        response = Client().get(address(name, kind, ids))
        assert (response.status_code, response.headers["Location"].split("?")[0]) == (
            302,
            reverse("accounts:sign-in"),
        ), name


def test_an_outsider_changes_nothing(cast: Cast, ids: dict[str, object]) -> None:
    client = signed_in(cast.outsider)

    found = {
        name: client.post(address(name, kind, ids), {"lineage": ids["run"]}).status_code for name, kind in POSTS.items()
    }

    assert found == dict.fromkeys(POSTS, 404)


def test_what_changes_something_answers_only_to_post(cast: Cast, ids: dict[str, object]) -> None:
    client = signed_in(cast.manager)

    assert {client.get(address(name, kind, ids)).status_code for name, kind in POSTS.items()} == {405}


def test_a_labeler_sees_no_model_name_score_or_peer(cast: Cast, ids: dict[str, object]) -> None:
    client = signed_in(cast.labeler)
    pages = [client.get(reverse("home")), client.get(address("annotation:lease", "lease", ids))]

    told = "".join(page.content.decode() for page in pages)

    assert not re.search(r"smollm|checkpoint:|RM 1|import:cast|sim-\d|mara", told, re.IGNORECASE)
    assert "Everyday questions" in told


def test_pages_have_no_inline_script_or_style(cast: Cast, ids: dict[str, object]) -> None:
    pages = {role: signed_in(getattr(cast, role)) for role in ("manager", "researcher", "labeler")}
    for name, (kind, allowed) in PAGES.items():
        role = next(role for role in ("researcher", "manager", "labeler") if allowed[role] == 200)
        response = pages[role].get(address(name, kind, ids))
        if response["Content-Type"].startswith("text/html"):
            assert not INLINE.findall(response.content.decode()), name
        policy = response.headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "script-src 'self'" in policy


def test_hostile_answers_are_escaped_on_the_ranking_page(db: None) -> None:
    hostile = ["<script>alert(1)</script>", '<img src=x onerror="alert(2)">', "[x](javascript:alert(3))"]
    cast = make_cast(questions={"Is <b>this</b> <script>alert(0)</script> safe?": hostile})
    labeler = services.labeler_for(workspace=cast.workspace, user=cast.labeler)
    lease = services.claim_task(campaign=cast.campaign, labeler=labeler)
    assert lease is not None

    page = signed_in(cast.labeler).get(reverse("annotation:lease", args=[lease.public_id])).content.decode()

    assert not re.search(r"<script>|<img|<b>|href=\"javascript", page)
    assert page.count("&lt;script&gt;") == 2


def test_submitting_without_javascript_leads_to_the_next_task(cast: Cast) -> None:
    client = signed_in(cast.labeler)
    claimed = client.post(reverse("annotation:work-next", args=[cast.campaign.public_id]))
    lease = Lease.objects.get()
    assert claimed.headers["Location"] == reverse("annotation:lease", args=[lease.public_id])
    ranks = dict(zip(lease.shown, ("2", "1", "2", "unrankable"), strict=True))

    response = client.post(
        reverse("annotation:lease-submit", args=[lease.public_id]),
        {f"rank-{key}": rank for key, rank in ranks.items()} | {"none_acceptable": "on", "active_seconds": "12.5"},
    )

    ranking = Ranking.objects.get()
    found = {str(item.completion.public_id): item.rank for item in ranking.items.all()}
    assert [found[key] for key in lease.shown] == [2, 1, 2, None]
    assert (ranking.none_acceptable, ranking.active_seconds) == (True, 12.5)
    assert response.headers["Location"] == reverse("annotation:lease", args=[Lease.objects.latest("pk").public_id])
    assert Lease.objects.count() == 2


def test_an_incomplete_ranking_comes_back_with_what_was_chosen(cast: Cast) -> None:
    client = signed_in(cast.labeler)
    client.post(reverse("annotation:work-next", args=[cast.campaign.public_id]))
    lease = Lease.objects.get()

    response = client.post(
        reverse("annotation:lease-submit", args=[lease.public_id]),
        {f"rank-{lease.shown[0]}": "3", "rationale": "so far"},
    )

    page = response.content.decode()
    assert response.status_code == 400
    assert "ranking_incomplete" in page
    assert page.count("This answer has no place yet.") == 3
    assert re.search(rf'name="rank-{lease.shown[0]}" value="3"[^>]* checked', page)
    assert "so far" in page
    assert not Ranking.objects.exists()


def test_a_draft_is_shown_again(cast: Cast) -> None:
    client = signed_in(cast.labeler)
    client.post(reverse("annotation:work-next", args=[cast.campaign.public_id]))
    lease = Lease.objects.get()

    draft = {f"rank-{lease.shown[1]}": "2", f"rank-{lease.shown[2]}": "unrankable", "rationale": "half-way"}
    saved = client.post(reverse("annotation:lease-draft", args=[lease.public_id]), draft)

    page = client.get(reverse("annotation:lease", args=[lease.public_id])).content.decode()
    assert saved.status_code == 204
    assert re.search(rf'name="rank-{lease.shown[1]}" value="2"[^>]* checked', page)
    assert re.search(rf'name="rank-{lease.shown[2]}" value="unrankable"[^>]* checked', page)
    assert page.count(" checked") == 2 + 2  # and the first reason to skip, and to report
    assert "half-way" in page


def test_a_broken_import_names_its_lines_and_keeps_the_text(cast: Cast) -> None:
    client = signed_in(cast.manager)
    lines = '{"prompt": "fine"}\n{"prompt": \n{"prompt": ""}\n'

    response = client.post(reverse("annotation:campaign-import", args=[cast.campaign.public_id]), {"text": lines})

    page = response.content.decode()
    assert response.status_code == 400
    assert [int(line) for line in re.findall(r'<td class="num">(\d+)</td>', page)] == [2, 3]
    assert "{&quot;prompt&quot;: &quot;fine&quot;}" in page
    assert not cast.campaign.prompts.filter(messages=[{"role": "user", "content": "fine"}]).exists()


def test_an_uploaded_file_is_imported(cast: Cast) -> None:
    before = cast.campaign.prompts.count()
    upload = SimpleUploadedFile("prompts.jsonl", b'{"prompt": "Name a prime."}\n{"prompt": "Name a colour."}\n')

    response = signed_in(cast.manager).post(
        reverse("annotation:campaign-import", args=[cast.campaign.public_id]), {"file": upload}
    )

    assert response.status_code == 302
    assert cast.campaign.prompts.count() == before + 2


def test_a_refused_campaign_keeps_what_was_typed(cast: Cast) -> None:
    form = {
        "name": "Too wide",
        "overlap": 51,
        "completions_per_task": 4,
        "lease_seconds": 900,
        "guidelines": "Be kind.",
    }

    response = signed_in(cast.manager).post(reverse("annotation:campaign-create"), form)

    page = response.content.decode()
    assert response.status_code in (400, 422)
    assert "Too wide" in page
    assert "Be kind." in page
    assert not Campaign.objects.filter(name="Too wide").exists()


def test_a_base_model_that_does_not_exist_is_refused_in_the_form(cast: Cast) -> None:
    form = {"uri": "pypi:no-such-model", "lineage_name": "mine"}

    response = signed_in(cast.researcher).post(reverse("policy:checkpoint-import"), form)

    page = response.content.decode()
    assert response.status_code == 404
    assert "model_not_found" in page
    assert "pypi:no-such-model" in page


def test_an_unfinished_run_is_polled_and_a_finished_one_is_not(cast: Cast, models: Models) -> None:
    client = signed_in(cast.researcher)

    live = client.get(reverse("runs:run-detail", args=[models.ppo.public_id])).content.decode()
    done = client.get(reverse("runs:run-detail", args=[models.version.run.public_id])).content.decode()

    assert 'hx-trigger="every 2s"' in live
    assert "hx-trigger" not in done


def test_a_part_is_the_part_of_the_same_page(cast: Cast, models: Models) -> None:
    url = reverse("runs:run-detail", args=[models.ppo.public_id])

    part = signed_in(cast.researcher).get(url, headers={"HX-Request": "true"}).content.decode()

    assert part.strip().startswith('<div id="run-live"')
    assert "<html" not in part


@pytest.mark.parametrize("name", ["annotation:campaign-list", "runs:run-list", "home"])
def test_a_longer_list_needs_no_more_queries(
    name: str, cast: Cast, models: Models, django_assert_num_queries: object, django_assert_max_num_queries: object
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    WorkspaceMembership.objects.create(
        workspace=WorkspaceMembership.objects.exclude(workspace=cast.workspace).get().workspace,
        user=cast.manager,
        role=Role.OWNER,
    )
    client = signed_in(cast.manager)
    client.get(reverse(name))
    with CaptureQueriesContext(connection) as few:
        client.get(reverse(name))
    for number in range(3):
        services.create_campaign(workspace=cast.workspace, by=cast.manager, name=f"Another {number}")
        models.queued.pk, models.queued.public_id = None, f"00000000-0000-0000-0000-00000000000{number}"
        models.queued.save(force_insert=True)
    with CaptureQueriesContext(connection) as many:
        client.get(reverse(name))

    assert len(many) == len(few)


def test_what_the_first_page_loads_is_small() -> None:
    import gzip

    import django_htmx

    htmx = Path(django_htmx.__file__).parent / "static" / "django_htmx" / "htmx-4.min.js"
    static = Path(settings.BASE_DIR) / "static"
    ours = [*(static / "css").glob("*.css"), *(static / "js").glob("*.js"), *(static / "vendor").glob("*/*.js"), htmx]

    assert sum(len(gzip.compress(path.read_bytes())) for path in ours) < 120_000


def test_shares_read_as_per_cent_and_other_figures_keep_their_unit(cast: Cast, models: Models) -> None:
    client = signed_in(cast.researcher)

    version = client.get(reverse("reward:version-detail", args=[models.version.public_id])).content.decode()
    run = client.get(reverse("runs:run-detail", args=[models.version.run.public_id])).content.decode()

    for page in (version, run):
        assert "74.2\u00a0%" in page
        assert "0.742" not in page
        assert ">861<" in re.sub(r"\s+", "", page)


def test_vendored_files_are_what_their_readme_says() -> None:
    import hashlib

    vendor = Path(settings.BASE_DIR) / "static" / "vendor"
    told = {
        path: digest
        for digest, path in re.findall(r"^([0-9a-f]{64})  (\S+)$", (vendor / "README.md").read_text(), re.M)
    }
    found = {
        str(path.relative_to(vendor)): hashlib.sha256(path.read_bytes()).hexdigest() for path in vendor.glob("*/*")
    }

    assert told == found


def test_a_labeler_is_set_aside_and_taken_back_on_their_page(cast: Cast, ids: dict[str, object]) -> None:
    client = signed_in(cast.manager)
    page = address("reward:labeler-detail", "labeler", ids)

    unsaid = client.post(address("reward:labeler-set-aside", "labeler", ids), {"reason": " "})
    assert (unsaid.status_code, "This field is required." in unsaid.content.decode()) == (422, True)
    done = client.post(address("reward:labeler-set-aside", "labeler", ids), {"reason": "Picks <b>at random</b>."})

    assert done.headers["Location"] == page
    told = client.get(page).content.decode()
    assert "Picks &lt;b&gt;at random&lt;/b&gt;." in told
    assert "counts no more" in told
    assert "set aside" not in signed_in(cast.labeler).get(reverse("home")).content.decode(), "it is not for labelers"
    twice = client.post(address("reward:labeler-set-aside", "labeler", ids), {"reason": "Again."})
    assert (twice.status_code, "labeler_excluded" in twice.content.decode()) == (409, True)
    client.post(address("reward:labeler-take-back", "labeler", ids))
    assert "Take back" not in client.get(page).content.decode()
    again = client.post(address("reward:labeler-take-back", "labeler", ids), follow=True)
    assert "is not set aside" in again.content.decode()
