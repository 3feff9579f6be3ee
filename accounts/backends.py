"""Who is signed in: Django's own backend, with the person of a session read by a prepared statement."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend

from accounts.models import User
from accounts.statements import Given, Statement

PERSON = Statement(lambda: User.objects.filter(pk=Given("pk")))


class Backend(ModelBackend):
    def get_user(self, user_id: Any) -> User | None:
        user = PERSON.first(pk=int(user_id))
        return user if user is not None and self.user_can_authenticate(user) else None
