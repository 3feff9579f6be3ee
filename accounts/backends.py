"""Who is signed in: Django's own backend, with the person who was read with the session."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend

from accounts.models import User
from accounts.sessions import take_person
from accounts.statements import Given, Statement

PERSON = Statement(lambda: User.objects.filter(pk=Given("pk")))


class Backend(ModelBackend):
    def get_user(self, user_id: Any) -> User | None:
        user = take_person(int(user_id)) or PERSON.first(pk=int(user_id))
        return user if user is not None and self.user_can_authenticate(user) else None
