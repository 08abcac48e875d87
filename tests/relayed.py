"""Long answers that two processes give, in an interpreter without other threads.

`python -m tests.relayed CASE`: prints as JSON what came of it. A worker of the tests has threads
of its own, beside which nothing forks.
"""

# ruff: noqa: SLF001 what is to be waited for is known only inside

from __future__ import annotations

import array
import fcntl
import json
import os
import resource
import signal
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from netinspect import relay as relay_module
from netinspect.errors import NetinspectError, ParseError, SourceError
from netinspect.parse.seen import Seen
from netinspect.relay import PIPE_BYTES, Relay

PATIENCE_S = 5
ALONE = 2
NOBODY = 65534
LEADER = os.getpid()
ESTABLISHED = 1


class Item(NamedTuple):
    """The `number`-th of a turn."""

    turn: int
    number: int


class Turns:
    """What the two take turns at, from one cursor: a fork shares the offset of a file."""

    def __init__(self, turns: int, items: int = 3, *, last_is_empty: bool = False) -> None:
        self.last = turns - 1
        self.items = items
        self.last_is_empty = last_is_empty
        self.cursor = os.memfd_create("turns")
        os.write(self.cursor, bytes(range(turns)))
        os.lseek(self.cursor, 0, os.SEEK_SET)
        self.events: list[str] = []
        self.is_last_read = False

    def read(self, *, is_helper: bool = False) -> tuple[list[Item], bool]:  # noqa: ARG002 of a job
        """The next turn, as long as any."""
        turn = os.read(self.cursor, 1)[0]
        self.events.append(f"read {turn}")
        self.is_last_read = turn == self.last
        is_empty = self.is_last_read and self.last_is_empty
        items = [Item(turn, number) for number in range(0 if is_empty else self.items)]
        return items, self.is_last_read

    def tell(self, items: list[Item]) -> bytes:
        """Which turn that was."""
        return str(items[0].turn if items else self.last).encode()

    def hear(self, told: bytes) -> None:
        """Write it down."""
        self.events.append(f"hear {told.decode()}")


class Faulty(Turns):
    """A turn that cannot be read."""

    def __init__(self, turns: int, at: int, fail: Callable[[], None]) -> None:
        super().__init__(turns)
        self.at = at
        self.fail = fail

    def read(self, *, is_helper: bool = False) -> tuple[list[Item], bool]:
        """Fail, at the turn."""
        items, is_last = super().read(is_helper=is_helper)
        if items[0].turn == self.at:
            self.fail()
        return items, is_last


class Repeating(Turns):
    """Sockets by their cookies; the last of each turn comes again with the next."""

    def __init__(self, turns: int) -> None:
        super().__init__(turns)
        self.seen = Seen()

    def cookies(self, items: list[Item]) -> list[int]:
        """2 and 3 of turn 1, then 3 again with turn 2."""
        return [turn * (self.items - 1) + number + 1 for turn, number in items]

    def tell(self, items: list[Item]) -> bytes:
        """The cookies."""
        return self.seen.tell([ESTABLISHED] * len(items), self.cookies(items))

    def hear(self, told: bytes) -> None:
        """Remember them."""
        self.seen.hear(told)

    def is_new(self, item: Item) -> bool:
        """Whether it has not come before."""
        return self.seen.add(self.cookies([item]), [ESTABLISHED]) is None


def line(item: Item, text: str = "") -> bytes:
    """Which item, and who had it."""
    return b"%d %d %d %s\n" % (*item, os.getpid(), text.encode())


def lines(
    relay: Relay, job: Turns, *, each: Callable[[Item], None] | None = None
) -> Iterator[bytes]:
    """A chunk an item."""
    for item in relay.turns(job):
        if each is not None:
            each(item)
        yield line(item)


def collect(relay: Relay, chunks: Iterator[bytes]) -> dict[str, Any]:
    """Iterate to the end: the rows of it, and the error if one ended it."""
    read: list[bytes] = []
    error = None
    try:
        for chunk in relay.in_order(chunks):
            read.append(chunk)  # noqa: PERF402 what came before an error counts
    except NetinspectError as failure:
        error = f"{type(failure).__name__}: {failure}"
    return {"rows": rows(b"".join(read)), "error": error}


def rows(text: bytes) -> list[list[Any]]:
    """Turn, number, `leader` or `helper`, and what else was said."""
    found = []
    for row in text.decode().splitlines():
        turn, number, pid, said = row.split(" ", 3)
        who = "leader" if int(pid) == LEADER else "helper"
        found.append([int(turn), int(number), who, *([said] if said else [])])
    return found


def whole(job: Turns) -> dict[str, Any]:
    """All of it, a chunk an item."""
    relay = Relay()
    return collect(relay, lines(relay, job))


def wait_until(is_so: Callable[[], bool]) -> None:
    """Not for ever."""
    end = time.monotonic() + PATIENCE_S
    while not is_so() and time.monotonic() < end:
        time.sleep(0.001)


def side_of(relay: Relay) -> Any:
    """The leader or the helper; None before there are two."""
    return relay._side


def await_baton(relay: Relay, job: Turns, item: Item) -> None:
    """Within a turn, till the other one has read, so that this one reads ahead."""
    side = side_of(relay)
    if side is not None and item.number == 0 and not job.is_last_read:
        side._poll.poll(1000 * PATIENCE_S)


def is_answer_pipe_full(relay: Relay) -> bool:
    """Whether the helper has to wait till its answer is taken."""
    waiting = array.array("i", [0])
    fcntl.ioctl(side_of(relay)._answers, termios.FIONREAD, waiting)
    return waiting[0] > PIPE_BYTES - resource.getpagesize()  # a page may be left partly empty


def pipes() -> int:
    """How many ends of pipes are open."""
    found = (os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd"))
    return sum("/pipe:" in path for path in found)


def children() -> bool:
    """Whether there are any, a zombie counts."""
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


# The cases


def long(turns: str, last: str) -> Any:
    return whole(Turns(int(turns), last_is_empty=last == "empty"))


def one_processor() -> Any:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    os.sched_getaffinity = REAL_AFFINITY
    return whole(Turns(9))


def beside_a_thread() -> Any:
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    try:
        return whole(Turns(9))
    finally:
        over.set()
        thread.join()


def no_more_processes() -> Any:
    def fork() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    os.fork = fork
    return whole(Turns(9))


def no_more_descriptors() -> Any:
    job = Turns(9)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (job.cursor + 4, hard))
    try:
        return whole(job)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def pipes_that_may_not_grow() -> Any:
    """As a user has them who has many pipes: pipe(7), pipe-user-pages-soft."""
    real = fcntl.fcntl

    def refuse(_fd: int, command: int, size: int) -> int:
        assert (command, size) == (fcntl.F_SETPIPE_SZ, 1 << 16)
        raise PermissionError(1, "Operation not permitted")

    fcntl.fcntl = refuse  # type: ignore[assignment]
    try:
        return whole(Turns(9))
    finally:
        fcntl.fcntl = real


def many_descriptors() -> Any:
    """select() takes none from 1024 on."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with open(os.devnull) as file:
        kept = [os.dup(file.fileno()) for _ in range(1100)]
    try:
        return whole(Turns(9))
    finally:
        for descriptor in kept:
            os.close(descriptor)


def ignoring() -> Any:
    """As in the background of a script: neither Ctrl-C nor the end of a child is for this one."""
    before = [(n, signal.signal(n, signal.SIG_IGN)) for n in (signal.SIGINT, signal.SIGCHLD)]

    class Interrupted(Turns):
        def read(self, *, is_helper: bool = False) -> tuple[list[Item], bool]:
            os.kill(os.getpid(), signal.SIGINT)
            return super().read(is_helper=is_helper)

    try:
        return whole(Interrupted(9))
    finally:
        for number, action in before:
            signal.signal(number, action)


def held_back() -> Any:
    """The first four turns are one chunk, as the rows that the widths of a table come from."""
    relay, job = Relay(), Turns(9)

    def chunks() -> Iterator[bytes]:
        held = [line(item) for _, item in zip(range(12), items, strict=False)]
        yield b"".join(held)
        yield from map(line, items)

    items = relay.turns(job)
    return collect(relay, chunks())


def never_written() -> Any:
    relay, job = Relay(), Turns(9)
    return collect(relay, iter([b"".join(map(line, relay.turns(job)))]))


def two_jobs() -> Any:
    relay = Relay()
    second = Turns(20)
    for _ in range(10):
        second.read()

    def chunks() -> Iterator[bytes]:
        yield from lines(relay, Turns(9))
        yield from lines(relay, second)

    return collect(relay, chunks())


def short_job_first() -> Any:
    relay = Relay()
    second = Turns(10)
    second.read()
    second.read()

    def chunks() -> Iterator[bytes]:
        yield from lines(relay, Turns(2))
        yield from lines(relay, second)

    return collect(relay, chunks())


class Tally:
    """A result: how many items of each turn."""

    def __init__(self) -> None:
        self.counts = bytearray(10)

    def clear(self) -> None:
        """None yet."""
        self.counts = bytearray(10)

    def to_bytes(self) -> bytes:
        """A byte a turn."""
        return bytes(self.counts)


def result(turns: str) -> Any:
    """Nothing is written, all is counted: `rows` has what each of the two counted."""
    tally = Tally()
    relay, job = Relay(tally), Turns(int(turns))

    def chunks() -> Iterator[bytes]:
        for item in relay.turns(job):
            tally.counts[item.turn] += 1
            yield b""

    of_helper = [list(chunk) for chunk in relay.in_order(chunks()) if chunk]
    return {"rows": [list(tally.counts), *of_helper], "error": None}


def refused() -> None:
    raise SourceError("the kernel failed: Cannot allocate memory (ENOMEM)")


def misspelt() -> None:
    raise ParseError("netlink message at byte 0: expected 16 bytes, found 11")


def broken() -> None:
    raise ZeroDivisionError


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fails_in_read(turn: str, how: str) -> Any:
    return whole(Faulty(12, int(turn), globals()[how]))


def fails_in_use(turn: str, how: str) -> Any:
    def each(item: Item) -> None:
        if item == (int(turn), 1):
            globals()[how]()

    relay, job = Relay(), Turns(12)
    return collect(relay, lines(relay, job, each=each))


def breaks_in_leader() -> Any:
    """What nobody foresaw comes out as it is."""
    try:
        fails_in_use("4", "broken")
    except ZeroDivisionError:
        return {"rows": [], "error": "ZeroDivisionError"}


def stops_early(size: str) -> Any:
    """The reader of the output has gone."""
    relay, job = Relay(), Turns(200)
    text = "x" * int(size)
    answer = relay.in_order(line(item, text) for item in relay.turns(job))
    for chunk in answer:
        if chunk.startswith(b"4 "):
            break
    answer.close()  # type: ignore[attr-defined]
    return {"rows": [], "error": None}


def large_answers() -> Any:
    """Each turn of the helper's is more than its pipe holds."""
    relay, job = Relay(), Turns(9)
    text = "x" * (PIPE_BYTES // 2)
    return lengths(collect(relay, (line(item, text) for item in relay.turns(job))))


def large_answers_between_nothing() -> Any:
    """Most turns of the leader bring nothing to write, and it has been held up before them."""
    relay, job = Relay(), Turns(9, items=1)
    text = "x" * (2 * PIPE_BYTES)

    def chunks() -> Iterator[bytes]:
        for item in relay.turns(job):
            if side_of(relay) is None or item.turn == 6:
                yield line(item)
            elif os.getpid() != LEADER:
                yield line(item, text)
            elif item.turn == ALONE:
                wait_until(lambda: is_answer_pipe_full(relay))

    return lengths(collect(relay, chunks()))


def lengths(outcome: dict[str, Any]) -> dict[str, Any]:
    outcome["rows"] = [[*row[:3], len(row[3]) if row[3:] else 0] for row in outcome["rows"]]
    return outcome


class Talkative(Turns):
    """As much to tell as a pipe holds that has not been made larger."""

    def tell(self, items: list[Item]) -> bytes:
        """Fill it, but for the header."""
        return super().tell(items).ljust((1 << 16) - 5)


def long_tellings() -> Any:
    """The helper has to read ahead while the leader waits for its answer."""
    relay, job = Relay(), Talkative(9)

    def each(item: Item) -> None:
        if os.getpid() != LEADER:
            await_baton(relay, job, item)

    return collect(relay, lines(relay, job, each=each))


def order_of_events() -> Any:
    """What each process had done before each item."""
    relay, job = Relay(), Turns(9)

    def chunks() -> Iterator[bytes]:
        for item in relay.turns(job):
            yield line(item, ", ".join(job.events))
            job.events.clear()
            await_baton(relay, job, item)

    return collect(relay, chunks())


def twice() -> Any:
    relay, job = Relay(), Repeating(12)

    def chunks() -> Iterator[bytes]:
        for item in relay.turns(job):
            if job.is_new(item):
                yield line(item)
            await_baton(relay, job, item)

    return collect(relay, chunks())


@contextmanager
def as_it_was() -> Iterator[dict[str, Any]]:
    """What is left behind."""
    left: dict[str, Any] = {}
    before = pipes()
    yield left
    left.update(children=children(), pipes=pipes() - before)


REAL_AFFINITY = os.sched_getaffinity


def main() -> None:
    relay_module.TURNS_ALONE = ALONE
    os.sched_getaffinity = lambda _pid: {0, 1}  # the tests may have one processor only
    sys.stdout.write("buffered before the fork\n")
    name, *words = sys.argv[1:]
    with as_it_was() as left:
        outcome = globals()[name](*words)
    json.dump({**outcome, **left}, sys.stdout)


if __name__ == "__main__":
    main()
