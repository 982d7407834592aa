"""When an application calls the taper, and when it gives that up; a clock from outside."""

from __future__ import annotations

from attrs import frozen

from protocols.rendezvous.times import CHALLENGE_PATIENCE, FIRST_PAUSE, LONGEST_PAUSE
from taper.application.states import Contact, make_contact

MOST_UNPROVEN = 3
"""Connections that end before the taper has proved itself, until we take it for a stranger."""


@frozen(kw_only=True)
class Patience:
    """Seconds to make the rendezvous: for the first time, and again after it broke."""

    first: float
    again: float


class Calls:
    """The rendezvous connections of a dump, one after another, but for what is said on them.

    :ivar met: the taper has proved itself at least once
    """

    def __init__(self, patience: Patience, now: float) -> None:
        """:param now: seconds, as of all other calls"""
        self.met = False
        self._patience = patience
        self._contact = make_contact()
        self._away_since = self._changed = self._next = now
        self._pause = FIRST_PAUSE
        self._unproven = 0
        self._why, self._by_tls = "", False

    @property
    def state(self) -> Contact:
        """How far the present one is."""
        return self._contact.state()

    @property
    def deadline(self) -> float | None:
        """When something is due, or too late."""
        if self.state is Contact.AWAY:
            return min(self._next, self._away_since + self._limit)
        return self._changed + CHALLENGE_PATIENCE if self.state is Contact.PROVING else None

    @property
    def _limit(self) -> float:
        return self._patience.again if self.met else self._patience.first

    def begin(self, now: float) -> None:
        """One is to be made."""
        self._contact.call()
        self._changed = now

    def made(self, now: float) -> None:
        """It is there."""
        self._contact.made()
        self._changed = now

    def proven(self) -> None:
        """The taper is who it should be."""
        self._contact.proven()
        self.met = True

    def lost(self, why: str, now: float, by_tls: bool = False) -> None:
        """It broke, or could not be made.

        :param why: for people
        :param by_tls: it was no question of keys
        """
        before = self.state
        self._contact.lost()
        self._why, self._by_tls = why, by_tls
        if before is Contact.TALKING:
            self._away_since = now
            self._pause = FIRST_PAUSE
        elif before is Contact.PROVING and not self.met:
            self._unproven += 1
        self._next = now + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def end(self) -> None:
        """None is needed any more."""
        self._contact.end()

    def is_due(self, now: float) -> bool:
        """The next one is to be made."""
        return self.state is Contact.AWAY and now >= self._next

    def is_unanswered(self, now: float) -> bool:
        """Somebody is there, but nobody who knows what a rendezvous is."""
        return self.state is Contact.PROVING and now >= self._changed + CHALLENGE_PATIENCE

    def hopeless(self, now: float) -> str | None:
        """Why no more attempts are made; None: they are."""
        if self.state is not Contact.AWAY:
            return None
        if self._unproven >= MOST_UNPROVEN and not self.met:
            if self._by_tls:
                return self._why
            return (
                f"no taper with our key: {self._why}; is it the same RENDEZVOUS-KEY-FILE there, "
                "does the taper offer a rendezvous, and do both use TLS, or neither?"
            )
        if now >= self._away_since + self._limit:
            return f"no rendezvous with the taper for {self._limit:g} seconds: {self._why}"
        return None
