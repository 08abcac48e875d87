"""Which sockets a dump has brought already."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import compress

from netinspect.parse.inet_numbers import PEERLESS


class Seen:
    """The cookies of the sockets that a dump has brought, as far as they can come again.

    A table that changes meanwhile can show a socket twice: when it moves to another hash chain
    (bound, then connected), or when others are put before the place where the dump goes on in its
    chain. So those without a peer are remembered, and of the others the latest.
    """

    MOST_REPLIES = 16
    LATEST_REPLIES = 4
    LATEST = 1024  # sockets

    def __init__(self) -> None:
        self.peerless: set[int] = set()
        self.latest: set[int] = set()
        self._replies: list[Sequence[int]] = []  # of `latest`

    def add(self, cookies: Sequence[int], states: Sequence[int]) -> list[bool] | None:
        """Whether each socket of a reply is new; None: all of them are, as is almost always so.

        Cookie 0 is none at all.
        """
        self._forget_old()
        again = self.peerless.intersection(cookies) | self.latest.intersection(cookies)
        known = len(self.latest)
        self._remember(cookies)
        if not PEERLESS.isdisjoint(states):
            self.peerless.update(compress(cookies, [state in PEERLESS for state in states]))
        if not again and len(self.latest) == known + len(cookies):
            return None
        fresh = set(cookies) - again
        return [_is_first(cookie, fresh) or not cookie for cookie in cookies]

    @classmethod
    def tell(cls, states: Sequence[int], cookies: Sequence[int]) -> bytes:
        """What another process has to remember that reads the rest of the dump."""
        peerless: list[int] = []
        if not PEERLESS.isdisjoint(states):
            peerless += compress(cookies, [state in PEERLESS for state in states])
        return array("Q", [len(peerless), *peerless, *cookies[-cls.LATEST :]]).tobytes()

    def hear(self, told: bytes) -> None:
        """Remember what another process saw."""
        count, *cookies = array("Q", told)
        self.peerless.update(cookies[:count])
        self._remember(cookies)

    def _remember(self, cookies: Sequence[int]) -> None:
        self.latest.update(cookies)
        self._replies.append(cookies)

    def _forget_old(self) -> None:
        """Make room, between two replies."""
        if len(self._replies) >= self.MOST_REPLIES:
            del self._replies[: -self.LATEST_REPLIES]
            self.latest = set().union(*self._replies)


def _is_first(cookie: int, fresh: set[int]) -> bool:
    """Whether it is fresh; from then on it is not."""
    is_first = cookie in fresh
    fresh.discard(cookie)
    return is_first
