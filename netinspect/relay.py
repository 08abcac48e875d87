"""Two processes that take turns at one long answer: while one reads, the other works.

A thread does not help, for the interpreter lock lets only one of two decode. So the process forks
in the middle of the answer, and both go on from there with all that they know. What they read comes
from one cursor (a netlink socket), so a baton says whose turn it is. What the helper would write
goes to the leader, which puts the turns in order.
"""

from __future__ import annotations

import math
import os
import select
from collections.abc import Iterable, Iterator
from contextlib import suppress
from struct import Struct
from typing import BinaryIO, NoReturn, Protocol, TypeVar

from netinspect.errors import NetinspectError, SourceError
from netinspect.worker import end_at_interrupt, may_fork, reap, uninterrupted

# A message through a pipe: its kind, and how many bytes follow
#   00 04000000 and 4 bytes
HEADER = Struct("=BI")
GO_ON, END, FAILED = range(3)
ENDED_EARLY = b"the process that helped to read ended before it was done"
# A fork costs 3 ms, as much as a turn: what follows has to be worth it. More than one: the first is
# read before the answer begins, whose beginning would then count as what became of that turn.
TURNS_ALONE = 5

# Room for an answer, so that the helper can go on before it is taken (pipe(7): 64 KiB else)
PIPE_BYTES = 1 << 20
# Room for what is told of a turn: who waits for an answer does not listen. A user with many pipes
# gets 8 KiB, and no right to more.
BATON_BYTES = 1 << 16

T = TypeVar("T")


class Job(Protocol[T]):
    """What the two take turns at."""

    def read(self, *, is_helper: bool = False) -> tuple[list[T], bool]:
        """What a turn is about, and whether it is the last.

        :param is_helper: it may be a little more, for the leader writes for both.
        """

    def tell(self, items: list[T]) -> bytes:
        """What the other one has to know of these."""

    def hear(self, told: bytes) -> None:
        """Learn what the other one told."""


class Result(Protocol):
    """What an answer comes to that is only there at the end: counts of what went by."""

    def clear(self) -> None:
        """Begin anew: in the helper, which only says what it adds."""

    def to_bytes(self) -> bytes:
        """All of it."""


class Relay:
    """One answer, given by this process alone or, if it gets long, by two.

    `turns` is where it is read, `in_order` where it leaves. All that happens between has to happen
    as it is asked for: what becomes of one turn, before the next begins.

    :param result: the helper's is the last that `in_order` gives; its chunks may be empty.
    """

    def __init__(self, result: Result | None = None) -> None:
        self._result = result
        self._side: _Leader | _Helper | None = None
        self._chunks_out = 0

    def turns(self, job: Job[T]) -> Iterator[T]:
        """All items; of the first long job, those of this process's turns."""
        side: _Leader | _Helper | None = None
        is_last, alone = False, TURNS_ALONE
        while not is_last and side is None:
            before = self._chunks_out
            items, is_last = job.read()
            yield from items
            alone -= 1
            # What is still held, to be laid out with what follows, both would write.
            is_written = self._chunks_out > before
            if alone <= 0 and is_written and not is_last and self._side is None and may_fork():
                with uninterrupted():
                    side = self._side = _fork(self._result)
        if side is not None:
            yield from side.turns(job)

    def in_order(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The whole answer; to be iterated over to its end. The helper ends in here.

        :raises NetinspectError: either process failed.
        """
        try:
            for chunk in chunks:
                self._chunks_out += 1
                yield from (chunk,) if self._side is None else self._side.put(chunk)
            if self._side is not None:
                yield from self._side.rest()
        except NetinspectError as error:
            if not isinstance(self._side, _Helper):
                raise
            self._side.fail(error)
        finally:
            if self._side is not None:
                self._side.leave()


class _Side:
    """One of the two, with its ends of the pipes."""

    def __init__(self, baton_from: BinaryIO, baton_to: BinaryIO, *, has_baton: bool) -> None:
        self._baton_from = baton_from
        self._baton_to = baton_to
        self._has_baton = has_baton
        self._is_last = False  # the turn that was read last
        self._poll = select.poll()  # select() takes no descriptor from 1024 on
        self._poll.register(baton_from, select.POLLIN)

    def turns(self, job: Job[T]) -> Iterator[T]:
        """This one's items. The next turn is read as soon as it may be, while this one lasts."""
        turn = self._read(job)
        while turn is not None:
            told, items = turn
            if told:  # nothing before the first turn
                job.hear(told)
            following: tuple[bytes, list[T]] | None = None
            for item in items:
                yield item
                if following is None and self._is_baton_here():
                    following = self._read(job)
            self.end_turn()
            turn = following or self._read(job)
        self.end()

    def _read(self, job: Job[T]) -> tuple[bytes, list[T]] | None:
        """What the other one told, and the next turn, when it is this one's; None: there is none.

        One that has ended will not read any more: whether it was its time shows in its answer.
        """
        if self._is_last:
            return None
        kind, told = GO_ON, b""
        if not self._has_baton:
            kind, told = _receive(self._baton_from) or (END, b"")
        if kind == END:
            self._is_last = True
            return None
        self._has_baton = False
        items, self._is_last = job.read(is_helper=isinstance(self, _Helper))
        with suppress(BrokenPipeError):
            _send(self._baton_to, END if self._is_last else GO_ON, job.tell(items))
        return told, items

    def _is_baton_here(self) -> bool:
        return not self._is_last and bool(self._poll.poll(0))

    def end_turn(self) -> None:
        """What there was to do with the items of a turn is done."""
        raise NotImplementedError

    def end(self) -> None:
        """There are no more turns."""
        raise NotImplementedError


class _Leader(_Side):
    """The process that was there before, which writes."""

    def __init__(
        self, helper: int, baton_from: BinaryIO, baton_to: BinaryIO, answers: BinaryIO
    ) -> None:
        super().__init__(baton_from, baton_to, has_baton=True)
        self._helper = helper
        self._answers = answers
        self._due: float = 0  # turns of the helper before what comes next
        self._taken: list[bytes] = []  # before their time
        self._is_answered = False

    def end_turn(self) -> None:
        """The helper's turn is next. Nothing was put? Then it may be stuck with its last answer."""
        self._taken = list(self.rest())
        self._due += 1

    def end(self) -> None:
        """All that is left is the helper's."""
        self._due = math.inf

    def put(self, chunk: bytes) -> Iterator[bytes]:
        """A piece of this one's answer, after what comes before it of the other's."""
        yield from self.rest()
        yield chunk

    def rest(self) -> Iterator[bytes]:
        """The other one's answer, as far as it is due."""
        yield from self._taken
        self._taken.clear()
        while self._due > 0 and not self._is_answered:
            kind, answer = _receive(self._answers) or (FAILED, ENDED_EARLY)
            if kind == FAILED:
                raise SourceError(answer.decode())
            self._is_answered = kind == END
            self._due -= 1
            yield answer

    def leave(self) -> None:
        """The helper ends when nobody listens to it."""
        for pipe in (self._baton_from, self._baton_to, self._answers):
            with suppress(BrokenPipeError):  # what it was not told is still buffered
                pipe.close()
        reap(self._helper)


class _Helper(_Side):
    """The forked process. It never returns: nothing but its turns is its own."""

    def __init__(
        self, baton_from: BinaryIO, baton_to: BinaryIO, answers: BinaryIO, result: Result | None
    ) -> None:
        super().__init__(baton_from, baton_to, has_baton=False)
        self._result = result
        if result:
            result.clear()
        self._answers = answers
        self._answer: list[bytes] = []
        end_at_interrupt()

    def end_turn(self) -> None:
        """Hand over what came of it."""
        _send(self._answers, GO_ON, b"".join(self._answer))
        self._answer.clear()

    def end(self) -> None:
        """Say so, with the result, and leave."""
        _send(self._answers, END, self._result.to_bytes() if self._result else b"")
        self.leave()

    def put(self, chunk: bytes) -> Iterator[bytes]:
        """Keep a piece of the answer, till the turn is over."""
        self._answer.append(chunk)
        return iter(())

    def rest(self) -> Iterator[bytes]:
        """Nothing is left."""
        return iter(())

    def fail(self, error: NetinspectError) -> None:
        """Say so to the leader."""
        _send(self._answers, FAILED, str(error).encode())

    def leave(self) -> NoReturn:
        """End without a word: what was buffered before the fork is the leader's."""
        os._exit(0)


def _fork(result: Result | None) -> _Leader | _Helper | None:
    """Begin to be two; None: there may be no more processes or pipes."""
    import fcntl  # this module can be imported on Windows too

    ends: list[int] = []
    try:
        for _ in range(3):
            ends += os.pipe()
        for end in ends[:4]:
            fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, BATON_BYTES)
        helper = os.fork()
    except OSError:
        for end in ends:
            os.close(end)
        return None
    baton, to_helper, from_helper, back, answers, answer = ends
    with suppress(OSError):
        fcntl.fcntl(answer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    ours, theirs = (from_helper, to_helper, answers), (baton, back, answer)
    for end in theirs if helper else ours:
        os.close(end)
    if helper:
        return _Leader(helper, open(from_helper, "rb"), open(to_helper, "wb"), open(answers, "rb"))
    return _Helper(open(baton, "rb"), open(back, "wb"), open(answer, "wb"), result)


def _send(pipe: BinaryIO, kind: int, data: bytes = b"") -> None:
    """:raises BrokenPipeError: the other process has ended."""
    pipe.write(HEADER.pack(kind, len(data)))
    pipe.write(data)
    pipe.flush()


def _receive(pipe: BinaryIO) -> tuple[int, bytes] | None:
    """What the other process has sent; None when it has ended."""
    header = pipe.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    kind, length = HEADER.unpack(header)
    data = pipe.read(length)
    return None if len(data) < length else (kind, data)
