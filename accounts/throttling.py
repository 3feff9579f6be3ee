"""Guessing passwords is slowed down: after so many failures for a person, an address or both there is a pause."""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _

from accounts.backends import Backend
from accounts.errors import Refused
from accounts.models import SignInAttempt, User

WINDOW = timedelta(minutes=15)
MAX_FOR_BOTH = 5
"""Failures for one person from one address in a window."""
MAX_FOR_PERSON = 50
"""From everywhere: high, or strangers could lock somebody out."""
MAX_FOR_ADDRESS = 100
"""For everybody: a lab may share one address."""


class ThrottledBackend(Backend):
    """Ours, behind the limits: pages, admin and API all ask it, each with its password."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        if username is None or password is None:
            return None
        attempt = begin_attempt(username=username, address=client_address(request))
        user = super().authenticate(request, username=username, password=password, **kwargs)
        if not isinstance(user, User):
            return None
        SignInAttempt.objects.filter(person=attempt.person, address=attempt.address).delete()
        return user


def begin_attempt(*, username: str, address: str) -> SignInAttempt:
    """Count an attempt before its password is looked at, so that a hundred at once are a hundred.

    Also: forgets the attempts of earlier windows.

    Raises:
        Refused: too_many_attempts (429).
    """
    since = timezone.now() - WINDOW
    SignInAttempt.objects.filter(at__lt=since).delete()
    attempt = SignInAttempt.objects.create(person=_hidden(username.casefold()), address=_hidden(address))
    recent = SignInAttempt.objects.filter(at__gte=since)
    for_person, from_address = recent.filter(person=attempt.person), recent.filter(address=attempt.address)
    if (
        for_person.filter(address=attempt.address).count() > MAX_FOR_BOTH
        or for_person.count() > MAX_FOR_PERSON
        or from_address.count() > MAX_FOR_ADDRESS
    ):
        # A refused attempt does not count: whoever waits gets in, whatever others keep trying.
        attempt.delete()
        raise Refused(
            _("Too many attempts to sign in have failed; wait %(minutes)d minutes and try again.")
            % {"minutes": WINDOW.total_seconds() // 60},
            code="too_many_attempts",
            status=429,
        )
    return attempt


def client_address(request: HttpRequest | None) -> str:
    """Who asks, as seen through NUM_PROXIES proxies; of an IPv6 address the network, since a host has all of one."""
    if request is None:
        return ""
    address = request.META.get("REMOTE_ADDR", "")
    hops = [hop.strip() for hop in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    if settings.NUM_PROXIES and hops[0]:
        address = hops[-min(settings.NUM_PROXIES, len(hops))]
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return str(address)
    return str(ipaddress.ip_network((known, 64), strict=False)) if known.version == 6 else str(known)


def _hidden(text: str) -> str:
    """A keyed hash: people type passwords into the field for the name, and addresses are theirs."""
    return salted_hmac("accounts.throttling", text, algorithm="sha256").hexdigest()
