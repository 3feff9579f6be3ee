"""Who is signed in: Django's own backend, with the person who was read with the session."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend

from accounts.models import User
from accounts.sessions import take_person


class Backend(ModelBackend):
    def get_user(self, user_id: Any) -> User | None:
        person = take_person(int(user_id))
        if person is None:
            return super().get_user(user_id)
        return person if self.user_can_authenticate(person) else None
