"""What every experiment works with: its network, processes and clock, and netinspect itself."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack

from netinspect.api import snapshot
from netinspect.lab.actors import Actor
from netinspect.lab.catalog import LONGEST_TRAFFIC_S
from netinspect.lab.event import Event, Kind
from netinspect.lab.isolation import Place
from netinspect.model import Connection, State
from netinspect.sources.settings import read_counters

LOOPBACK = "127.0.0.1"
Endpoint = tuple[str, int]


class Bench:
    """One run of one experiment. Leaving `stack` ends its processes and closes its sockets."""

    def __init__(self, experiment: str, place: Place, stack: ExitStack, hold_seconds: int) -> None:
        self.experiment = experiment
        self.place = place
        self.stack = stack
        self.hold_seconds = hold_seconds
        self.ports: list[int] = []  # every socket of the experiment has one of them
        self.keep: Callable[[], None] | None = None  # what every second of being held takes
        self._actors: list[Actor] = []
        self._began = time.monotonic()
        self._counters = read_counters()

    def listen(self, backlog: int = 128, port: int = 0) -> socket.socket:
        """A listener of the experiment; without a port the kernel chooses one."""
        listener = self.stack.enter_context(socket.socket())
        listener.bind((LOOPBACK, port))
        listener.listen(backlog)
        self.ports.append(listener.getsockname()[1])
        return listener

    def start(self, name: str, play: Callable[[], None], *handed_over: socket.socket) -> None:
        """Let a process of its own play one side. What is handed over is closed in this one."""
        actor = Actor(name, play, self.hold_seconds + LONGEST_TRAFFIC_S)
        self.stack.callback(actor.end)
        self._actors.append(actor)
        for sock in handed_over:
            sock.close()

    def seconds(self, count: int) -> Iterator[int]:
        """The numbers from 1, each when so many seconds have gone by.

        :raises SourceError: a process of the experiment has ended meanwhile.
        """
        began = time.monotonic()
        for number in range(1, count + 1):
            time.sleep(max(0.0, began + number - time.monotonic()))
            for actor in self._actors:
                actor.check()
            yield number

    def connections(self, *states: State, owners: bool = False) -> list[Connection]:
        """The TCP sockets of the experiment, as netinspect reads them."""
        found = snapshot(protocols=["tcp"], states=states or None, ports=self.ports, owners=owners)
        return list(found.connections)

    def states(self) -> Counter[str]:
        """How many sockets of the experiment are in each state."""
        return Counter(connection.state for connection in self.connections())

    def counted(self, name: str) -> int | None:
        """By how much a counter of the kernel has grown; None where it is shared or not there.

        :param name: as in `read_counters`: `TcpExt.ListenOverflows`.
        """
        if not self.place.is_private or name not in self._counters:
            return None
        return read_counters()[name] - self._counters[name]

    def say(
        self,
        kind: Kind,
        text: str,
        *,
        counts: dict[str, int] | None = None,
        connections: list[Connection] | None = None,
        remarks: tuple[str, ...] | None = None,
        command: str | None = None,
    ) -> Event:
        """An event of now."""
        return Event(
            experiment=self.experiment,
            kind=kind,
            elapsed_seconds=round(time.monotonic() - self._began, 3),
            text=text,
            counts=counts,
            connections=None if connections is None else tuple(connections),
            remarks=remarks,
            command=command,
        )

    def explain(self, lesson: Iterable[str]) -> Iterator[Event]:
        """What happened and why, and what to do about it."""
        return (self.say("explanation", text) for text in lesson)

    def reading(self, counts: dict[str, int]) -> Event:
        """What is counted now: `TIME_WAIT 27   ESTABLISHED 2   requests 50`."""
        text = "  ".join(f"{name} {number:<5}" for name, number in counts.items())
        return self.say("reading", text.rstrip(), counts=counts)
