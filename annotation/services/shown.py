"""A task's answers, as every step of a labeler reads them."""

from __future__ import annotations

from accounts.statements import Given, Statement
from annotation.models import TaskCompletion

ANSWERS = Statement(
    lambda: TaskCompletion.objects.filter(task=Given("task")).select_related("completion").order_by("position")
)


def items_of(task_id: int) -> list[TaskCompletion]:
    """The task's answers in the order of their places."""
    return ANSWERS.all(task=task_id)
