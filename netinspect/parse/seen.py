"""Which sockets a dump has brought already."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import compress, islice

from netinspect.parse.inet_numbers import PEERLESS


class Seen:
    """The cookies of the sockets that a dump has brought, as far as they can come again.

    A table that changes meanwhile can show a socket twice: when it moves to another hash chain
    (bound, then connected), or when others are put before the place where the dump goes on in its
    chain. So those without a peer are remembered, and of the others the latest.
    """

    MOST = 4096
    LATEST = 1024  # four replies

    def __init__(self) -> None:
        self.cookies: dict[int, None] = {}
        self.peerless: set[int] = set()

    def add(self, cookies: Sequence[int], states: Sequence[int]) -> list[bool] | None:
        """Whether each socket of a reply is new; None: all of them are, as is almost always so.

        Cookie 0 is none at all.
        """
        self._forget_old()
        if not PEERLESS.isdisjoint(states):
            self.peerless.update(compress(cookies, [state in PEERLESS for state in states]))
        known = len(self.cookies)
        self.cookies.update(dict.fromkeys(cookies))
        added = len(self.cookies) - known
        if added == len(cookies):
            return None
        fresh = set(islice(reversed(self.cookies), added))
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
        self.cookies.update(dict.fromkeys(cookies))

    def _forget_old(self) -> None:
        """Make room, between two replies."""
        if len(self.cookies) > len(self.peerless) + self.MOST:
            latest = islice(reversed(self.cookies), self.LATEST)
            self.cookies = dict.fromkeys((*self.peerless, *latest))


def _is_first(cookie: int, fresh: set[int]) -> bool:
    """Whether it is fresh; from then on it is not."""
    is_first = cookie in fresh
    fresh.discard(cookie)
    return is_first
