"""A campaign of any number of tasks: the first is made by the services, PostgreSQL copies it for the others."""

from __future__ import annotations

from typing import Any

from django.db import connection, transaction
from django.db.models import Model

from accounts.models import User, Workspace
from accounts.services import create_user, create_workspace
from annotation.models import Campaign, Completion, Prompt, Task, TaskCompletion
from annotation.services import (
    NewCompletion,
    NewPrompt,
    NewTask,
    add_completions,
    add_member,
    add_prompts,
    create_campaign,
    create_tasks,
    open_campaign,
)

PASSWORD = "a long enough pass phrase"  # noqa: S105 - of people who exist for minutes
PARAGRAPHS = (
    "Rainbows appear when sunlight is bent on its way into a drop of water, thrown back from its far side, and bent "
    "again on its way out. Each colour leaves at an angle of its own: **red at about 42°**, violet at about 40°.",
    "1. Put the flour in a bowl and make a hollow in it.\n2. Add the eggs, then the milk, a little at a time.\n3. Stir "
    "until it is smooth, and let it rest for *half an hour*.",
    "```python\ndef mean(values):\n    return sum(values) / len(values)\n```\n\nIt fails for an empty list, so check "
    "`len(values)` first and say in the docstring what happens then.",
    "That depends on what you want it for. For short trips a bicycle is faster than most people think; for long ones "
    "the train is. Neither needs a parking place, and both leave you time: the first to move, the second to read.",
)
MAX_VARIANTS = 48


def people(num: int) -> tuple[Workspace, list[User]]:
    """A workspace, and so many labelers with logins."""
    workspace = create_workspace(name="Benchmark", owner=create_user(username="owner", password=PASSWORD))
    return workspace, [create_user(username=f"labeler-{n}", password=PASSWORD) for n in range(num)]


def campaign(workspace: Workspace, labelers: list[User], *, name: str, num_tasks: int, **settings: Any) -> Campaign:
    """An open campaign with a seat for everybody and its tasks in the queue."""
    made = create_campaign(workspace=workspace, by=None, name=name, guidelines=PARAGRAPHS[3], **settings)
    for user in labelers:
        add_member(campaign=made, by=None, user=user)
    _fill(made, num_tasks)
    return open_campaign(campaign=made, by=None)


def _fill(made: Campaign, num_tasks: int) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = off")
        _copy(_first_task(made), num_tasks - 1)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")


def _first_task(made: Campaign) -> Task:
    prompt = add_prompts(campaign=made, prompts=[NewPrompt(messages=PARAGRAPHS[0])]).created[0]
    texts = [_variant(number) for number in range(made.completions_per_task)]
    new = [NewCompletion(prompt_id=prompt.public_id, text=t, sample_index=n) for n, t in enumerate(texts)]
    stored = add_completions(campaign=made, source="import:benchmark", completions=new)
    wanted = NewTask(prompt_id=prompt.public_id, completion_ids=[answer.public_id for answer in stored])
    return create_tasks(campaign=made, tasks=[wanted])[0]


def _variant(number: int) -> str:
    """An answer of some 500 characters; every one of a task's is another."""
    first, second = number % len(PARAGRAPHS), (number // len(PARAGRAPHS) + 1 + number) % len(PARAGRAPHS)
    return f"{PARAGRAPHS[first]}\n\n{PARAGRAPHS[second]}\n\nThis is version {number}."


def _copy(task: Task, num: int) -> None:
    """Rows numbered on from those of the given task, which are the newest of their tables."""
    given = {
        "num": num,
        "answers": task.items.count(),
        "texts": [_variant(number) for number in range(MAX_VARIANTS)],
        "variants": MAX_VARIANTS,
        "task": task.pk,
        "prompt": task.prompt_id,
        "answer": max(task.items.values_list("completion", flat=True)),
        "item": max(task.items.values_list("pk", flat=True)),
    }
    own = {"id": "t.id + n", "public_id": "gen_random_uuid()"}
    nth = "(n - 1) * %(answers)s + k + 1"
    prompt = {
        **own,
        "content_sha256": "encode(sha256(('benchmark ' || t.id + n)::bytea), 'hex')",
        "messages": f"jsonb_build_array(jsonb_build_object('role', 'user', 'content', {_text('n')}))",
    }
    answer = {**own, "id": f"%(answer)s + {nth}", "prompt_id": "%(prompt)s + n", "text": _text("n * 7 + k * 5")}
    item = {"id": f"%(item)s + {nth}", "task_id": "%(task)s + n", "completion_id": answer["id"], "position": "k"}
    _insert(Prompt, "%(prompt)s", prompt, given)
    _insert(Completion, "%(answer)s", {**answer, "sample_index": "k"}, given)
    _insert(Task, "%(task)s", {**own, "prompt_id": "%(prompt)s + n"}, given)
    _insert(TaskCompletion, "%(item)s", item, given)


def _text(number: str) -> str:
    return f"'No. ' || n || E'.\n\n' || (%(texts)s::text[])[1 + ({number}) %% %(variants)s]"


def _insert(model: type[Model], template: str, fresh: dict[str, str], given: dict[str, Any]) -> None:
    """Insert copies of one row, numbered n (and k, its answer); columns that are not `fresh` keep its values."""
    columns = [str(field.column) for field in model._meta.concrete_fields]
    chosen = ", ".join(fresh.get(column, f't."{column}"') for column in columns)
    names = ", ".join(f'"{column}"' for column in columns)
    table = model._meta.db_table
    rows = "generate_series(1, %(num)s) AS n"
    if "k + 1" in fresh["id"]:
        rows += ", generate_series(0, %(answers)s - 1) AS k"
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "{table}" ({names}) SELECT {chosen} FROM "{table}" t, {rows} WHERE t.id = {template}',  # noqa: S608
            given,
        )
        # The keys were given, so the sequence has to be told.
        cursor.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM \"{table}\"")  # noqa: S608
