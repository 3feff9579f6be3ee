"""One turn: base model, prompts, answers, rankings, reward model, PPO, and back into the queue.

Nothing here trains or ranks: each phase calls the service that a page or the API would call, and waits for the workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from accounts.enqueue import enqueue
from accounts.errors import Refused
from accounts.models import User, Workspace
from annotation.models import Campaign, Purpose, Task
from annotation.personas import SimulatedLabeler
from annotation.queries import campaign_progress
from annotation.services import (
    NewPrompt,
    add_member,
    add_prompts,
    create_campaign,
    open_campaign,
    split_by_hash,
)
from annotation.simulation import create_simulated_labelers
from config.demo.progress import Progress
from config.demo.spec import TurnSpec
from policy.models import Checkpoint, WinRateStudy
from policy.services import follow, import_model, start_ppo, start_sampling, start_win_rate, unfinished_import
from reward.models import RewardModel, Snapshot
from reward.services import freeze_snapshot, start_training
from runs.models import Run
from runs.states import RunState

POLL_SECONDS = 0.5
RANKINGS_A_TURN = 8


class People(NamedTuple):
    workspace: Workspace
    manager: User
    researcher: User
    labeler: User


class Turn(NamedTuple):
    """What a finished turn left behind."""

    campaign: Campaign
    snapshot: Snapshot
    reward_model: RewardModel
    parent: Checkpoint
    checkpoint: Checkpoint
    ppo: Run
    study: WinRateStudy


def run_turn(spec: TurnSpec, people: People, progress: Progress) -> Turn:
    """Run the whole loop once; about as long as its phases' budgets together.

    Raises:
        Refused: a service turned a step down, or a run did not succeed.
    """
    with progress.phase("Base model", budget_seconds=120):
        parent = base_checkpoint(spec, people, progress)
    with progress.phase("Campaign", budget_seconds=10):
        campaign = open_demo_campaign(spec, people, parent)
    with progress.phase("Answers of the base model", budget_seconds=150):
        wait_for(_sample(spec, people, campaign, parent), progress)
    with progress.phase("Rankings by simulated labelers", budget_seconds=60):
        rank(spec.crew, campaign, people, spec.seed, Purpose.COLLECT, progress)
    with progress.phase("Reward model", budget_seconds=210):
        snapshot = freeze_snapshot(campaign=campaign, by=people.researcher)
        reward_model = _train_reward_model(spec, people, snapshot, parent, progress)
    with progress.phase("PPO", budget_seconds=600):
        ppo = start_ppo(
            checkpoint=parent,
            reward_model=reward_model,
            campaign=campaign,
            by=people.researcher,
            config=dict(spec.ppo),
            seed=spec.seed,
        )
        checkpoint = Checkpoint.objects.get(run=wait_for(ppo, progress))
    with progress.phase("New answers into the queue", budget_seconds=60):
        wait_for(_follow_run(campaign, ppo), progress)
    with progress.phase("Win rate on test prompts", budget_seconds=240):
        study = _judge(spec, people, campaign, parent, checkpoint, progress)
    return Turn(campaign, snapshot, reward_model, parent, checkpoint, ppo, study)


def base_checkpoint(spec: TurnSpec, people: People, progress: Progress) -> Checkpoint:
    """Checkpoint 0 of the demo's lineage; imported the first time."""
    known = Checkpoint.objects.filter(workspace=people.workspace, lineage__name=spec.lineage, number=0).first()
    if known is not None:
        return known
    # An import that an interrupted demo left behind goes on by itself.
    run = unfinished_import(people.workspace, spec.lineage) or import_model(
        workspace=people.workspace, by=people.researcher, uri=spec.model_uri, lineage_name=spec.lineage
    )
    return Checkpoint.objects.get(run=wait_for(run, progress))


def open_demo_campaign(spec: TurnSpec, people: People, parent: Checkpoint) -> Campaign:
    campaign = create_campaign(
        workspace=people.workspace,
        by=people.manager,
        name=spec.campaign,
        guidelines=spec.guidelines,
        overlap=spec.overlap,
        completions_per_task=spec.completions_per_task,
    )
    prompts = [NewPrompt(messages=p["messages"], category=p.get("category", "")) for p in spec.prompts]
    add_prompts(campaign=campaign, prompts=prompts)
    train, validation, test = spec.split
    split_by_hash(campaign=campaign, train=train, validation=validation, test=test)
    add_member(campaign=campaign, by=people.manager, user=people.labeler)
    open_campaign(campaign=campaign, by=people.manager)
    follow(
        campaign=campaign,
        lineage=parent.lineage,
        by=people.researcher,
        completions_per_prompt=spec.completions_per_task // 2,
        max_prompts=spec.follow_prompts,
        max_new_tokens=int(spec.sampling.get("max_new_tokens", 128)),
        temperature=float(spec.sampling.get("temperature", 1.0)),
    )
    return campaign


def _sample(spec: TurnSpec, people: People, campaign: Campaign, parent: Checkpoint) -> Run:
    return start_sampling(
        campaign=campaign,
        by=people.researcher,
        checkpoints=[parent],
        per_prompt=spec.answers_per_prompt,
        config=dict(spec.sampling),
        seed=spec.seed,
    )


def _train_reward_model(
    spec: TurnSpec, people: People, snapshot: Snapshot, parent: Checkpoint, progress: Progress
) -> RewardModel:
    run = start_training(
        snapshot=snapshot, by=people.researcher, base_uri=parent.uri, config=dict(spec.reward), seed=spec.seed
    )
    return RewardModel.objects.get(run=wait_for(run, progress))


def _follow_run(campaign: Campaign, ppo: Run) -> Run:
    """The sampling run that registering the new checkpoint queued by itself."""
    found = Run.objects.filter(kind="policy.sample", context__campaign=str(campaign.public_id), pk__gt=ppo.pk)
    run = found.order_by("pk").first()
    if run is None:
        raise Refused("The new checkpoint's answers were not asked for; is the campaign open?", code="follow_missing")
    return run


def _judge(
    spec: TurnSpec, people: People, campaign: Campaign, parent: Checkpoint, checkpoint: Checkpoint, progress: Progress
) -> WinRateStudy:
    study = start_win_rate(
        campaign=campaign,
        candidate=checkpoint,
        baseline=parent,
        by=people.researcher,
        seed=spec.seed,
        per_prompt=spec.answers_per_test_prompt,
        config=dict(spec.sampling),
    )
    if study.run is not None:
        wait_for(study.run, progress)
    rank(spec.crew, campaign, people, spec.seed, Purpose.RATE, progress)
    return study


def wait_for(run: Run, progress: Progress) -> Run:
    """Block until a worker has finished the run; its own progress and ETA are shown.

    Raises:
        Refused: it failed or was cancelled; the run's own sentence and code.
    """
    while not run.is_finished:
        progress.pause(POLL_SECONDS)
        run.refresh_from_db()
        if run.progress:
            progress.show(
                run.progress["done"],
                run.progress["total"],
                run.progress["unit"],
                eta_seconds=run.progress.get("eta_seconds"),
            )
    if run.state != RunState.SUCCEEDED:
        raise Refused(
            run.error_message or f"{run.title} was {run.get_state_display().lower()}.",
            code=run.error_code or "run_failed",
        )
    return run


def rank(
    crew: Sequence[SimulatedLabeler], campaign: Campaign, people: People, seed: int, purpose: str, progress: Progress
) -> None:
    """Let simulated labelers work through the queue in Celery workers until every slot of the purpose is ranked."""
    labelers = create_simulated_labelers(workspace=people.workspace, by=people.manager, campaign=campaign, crew=crew)
    before = campaign_progress(campaign, purpose=purpose)
    # In turns, so that everybody gets a share; then each without a limit, for the slots that were left over.
    rounds = before.num_open_slots // (len(labelers) * RANKINGS_A_TURN)
    for limit in [RANKINGS_A_TURN] * rounds + [before.num_open_slots]:
        for labeler in labelers:
            enqueue("annotation.tasks.run_simulated_labeler", campaign.pk, labeler.pk, seed, limit, purpose)
    while (now := campaign_progress(campaign, purpose=purpose)).num_rankings < now.num_wanted:
        progress.show(now.num_rankings - before.num_rankings, before.num_open_slots, "rankings")
        progress.pause(POLL_SECONDS)


def new_tasks_waiting(turn: Turn) -> int:
    """Tasks with the new checkpoint's answers that wait for people."""
    return (
        Task.objects.filter(
            campaign=turn.campaign, purpose=Purpose.COLLECT, free_slots__gt=0, completions__source=turn.checkpoint.uri
        )
        .distinct()
        .count()
    )
