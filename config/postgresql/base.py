"""Django's PostgreSQL backend, with a look at the connection's socket where Django asks the server "SELECT 1"."""

from __future__ import annotations

import select

from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    def is_usable(self) -> bool:
        """Whether a connection that rested between two requests can be used.

        A server that ends a connection says so, and a closed socket is readable too. One that has said nothing is not
        asked: that would be a round trip in every request. What vanished without a word is found by the next query, in
        the time that asking would have taken.
        """
        if self.connection is None or self.connection.closed:
            return False
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN)
        return not poll.poll(0) or bool(super().is_usable())
