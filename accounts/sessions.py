"""Django's sessions in the database, each with its person: one prepared statement reads both for every request."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends import db
from django.utils import timezone

from accounts.models import Session, User
from accounts.statements import Given, Statement

READ = Statement(
    lambda: Session.objects.select_related("user").filter(session_key=Given("key"), expire_date__gt=Given("now"))
)

_read_with_session: ContextVar[User | None] = ContextVar("read_with_session", default=None)


class SessionStore(db.SessionStore):
    @classmethod
    def get_model_class(cls) -> type[Session]:  # type: ignore[override]
        return Session

    def create_model_instance(self, data: dict[str, Any]) -> Session:  # type: ignore[override]
        session = super().create_model_instance(data)
        assert isinstance(session, Session)
        session.user_id = data.get(SESSION_KEY)
        return session

    def load(self) -> dict[str, Any]:
        found = READ.first(key=self.session_key, now=timezone.now())
        _read_with_session.set(found.user if found is not None else None)
        if found is None:
            self._session_key = None
            return {}
        return dict(self.decode(found.session_data))


def take_person(key: int) -> User | None:
    """The person with this key, where the session that was read last is theirs; whoever asks again reads anew."""
    person = _read_with_session.get()
    _read_with_session.set(None)
    return person if person is not None and person.pk == key else None
