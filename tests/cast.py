"""The cast of every app's tests, and short ways to the rows that tests need; all of it made through the services.

Olivia owns the workspace, Max manages its campaigns, Rita does its research; Alice and Bob label. Charlie owns a
workspace of his own and must see nothing of theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.test import Client
from rest_framework.test import APIClient

from accounts.models import Role, User, Workspace
from accounts.services import add_member_to_workspace, create_user, create_workspace
from annotation.models import Campaign, Completion, Labeler, LabelerKind, Lease, Prompt, Ranking, Task
from annotation.services import (
    NewCompletion,
    NewPrompt,
    NewTask,
    Submission,
    SubmittedItem,
    add_completions,
    add_member,
    add_prompts,
    claim_task,
    create_campaign,
    create_tasks,
    labeler_for,
    open_campaign,
    submit_ranking,
)

PASSWORD = "a long enough pass phrase"


@dataclass(frozen=True, slots=True)
class Cast:
    workspace: Workspace
    owner: User
    manager: User
    researcher: User
    alice: User
    bob: User
    charlie: User
    """The outsider: owner of another workspace."""
    elsewhere: Workspace
    """Charlie's."""

    @property
    def everybody(self) -> dict[str, User | None]:
        """One of each: the roles of the workspace, a labeler, the outsider, and nobody."""
        names = ("owner", "manager", "researcher", "alice", "charlie")
        return {**{name: getattr(self, name) for name in names}, "nobody": None}

    def labeler(self, user: User) -> Labeler:
        return labeler_for(workspace=self.workspace, user=user)


def make_cast() -> Cast:
    names = ("olivia", "max", "rita", "alice", "bob", "charlie")
    olivia, max_, rita, alice, bob, charlie = (make_user(name) for name in names)
    workspace = create_workspace(name="Plumb Lab", owner=olivia)
    add_member_to_workspace(workspace=workspace, user=max_, role=Role.MANAGER, by=olivia)
    add_member_to_workspace(workspace=workspace, user=rita, role=Role.RESEARCHER, by=olivia)
    elsewhere = create_workspace(name="Elsewhere", owner=charlie)
    return Cast(workspace, olivia, max_, rita, alice, bob, charlie, elsewhere)


def make_user(username: str) -> User:
    return create_user(username=username, password=PASSWORD, first_name=username.capitalize())


def make_campaign(
    cast: Cast,
    *,
    name: str = "Short answers",
    members: Sequence[User] | None = None,
    is_open: bool = True,
    **settings: Any,
) -> Campaign:
    """A campaign of the cast's workspace, open, with seats for Alice and Bob."""
    campaign = create_campaign(workspace=cast.workspace, by=cast.manager, name=name, guidelines="Be kind.", **settings)
    for user in (cast.alice, cast.bob) if members is None else members:
        add_member(campaign=campaign, by=cast.manager, user=user)
    return open_campaign(campaign=campaign, by=cast.manager) if is_open else campaign


def make_prompt(campaign: Campaign, text: str = "Why is the sky blue?", split: str | None = None) -> Prompt:
    added = add_prompts(campaign=campaign, prompts=[NewPrompt(messages=text, split=split)])
    return (added.created or added.duplicates)[0]


def make_completions(
    prompt: Prompt, texts: Sequence[str] = ("Air scatters blue light.", "Because."), source: str = "checkpoint:test"
) -> list[Completion]:
    before = prompt.completions.filter(source=source).count()
    new = [
        NewCompletion(prompt_id=prompt.public_id, text=text, finish_reason="stop", sample_index=before + index)
        for index, text in enumerate(texts)
    ]
    return add_completions(campaign=prompt.campaign, source=source, completions=new)


def make_task(
    campaign: Campaign,
    text: str = "Why is the sky blue?",
    answers: Sequence[str] = ("Air scatters blue light.", "Because."),
    *,
    split: str | None = None,
    **task: Any,
) -> Task:
    """A prompt with its answers, in the queue."""
    prompt = make_prompt(campaign, text, split)
    completions = make_completions(prompt, answers)
    new = NewTask(prompt_id=prompt.public_id, completion_ids=[c.public_id for c in completions], **task)
    return create_tasks(campaign=campaign, tasks=[new])[0]


def make_labeler(workspace: Workspace, name: str) -> Labeler:
    """A labeler without a login, for tests that need many."""
    return Labeler.objects.create(workspace=workspace, kind=LabelerKind.IMPORTED, name=name)


def submission(lease: Lease, ranks: Sequence[int | None] | None = None, **rest: Any) -> Submission:
    """A ranking of what the lease shows, in the order shown; without ranks: 1, 2, 3, …"""
    given = range(1, len(lease.shown) + 1) if ranks is None else ranks
    items = [
        SubmittedItem(completion_id=UUID(public_id), rank=rank)
        for public_id, rank in zip(lease.shown, given, strict=True)
    ]
    return Submission(items=items, **rest)


def rank_task(task: Task, labeler: Labeler, ranks: Sequence[int | None], **rest: Any) -> Ranking:
    """Claim the task and rank its answers; `ranks` are in the order of `TaskCompletion.position`."""
    lease = claim_task(campaign=task.campaign, labeler=labeler)
    assert lease is not None
    assert lease.task_id == task.pk, "another task is ahead of it in the queue"
    stored = [str(item.completion.public_id) for item in task.items.select_related("completion")]
    by_id = dict(zip(stored, ranks, strict=True))
    said = submission(lease, [by_id[public_id] for public_id in lease.shown], **rest)
    return submit_ranking(lease=lease, submission=said).ranking


def web(user: User | None) -> Client:
    """A browser with the user signed in; None: nobody."""
    client = Client()
    if user is not None:
        client.force_login(user)
    return client


def api(user: User | None) -> APIClient:
    """An API client of the user; None: nobody."""
    client = APIClient()
    if user is not None:
        client.force_authenticate(user)
    return client
