"""A forked process that works out one answer."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import pytest

from netinspect.worker import Worker, may_fork

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: processors to run on")

Action = signal.Handlers | Callable[[int, FrameType | None], object]
LONGER_THAN_A_PIPE = bytes(range(256)) * 1024


@pytest.mark.parametrize("answer", [b"", b"an answer", LONGER_THAN_A_PIPE])
def test_an_answer(answer: bytes) -> None:
    with Worker(lambda: answer) as worker:
        assert worker.answer() == answer


def test_it_is_worked_out_in_another_process_at_the_same_time() -> None:
    hear, tell = os.pipe()
    with Worker(lambda: os.read(hear, 5) + b" %d" % os.getpid()) as worker:
        os.write(tell, b"hello")
        assert worker.answer() == b"hello %d" % worker.pid
    os.close(hear)
    os.close(tell)
    assert worker.pid != os.getpid()


def test_work_that_fails_has_no_answer(capfd: pytest.CaptureFixture[str]) -> None:
    with Worker(lambda: b"%d" % (1 // 0)) as worker:
        assert worker.answer() is None
    assert capfd.readouterr() == ("", "")


def test_a_worker_that_is_killed_has_no_answer() -> None:
    def die() -> bytes:
        os.kill(os.getpid(), signal.SIGKILL)
        return b"never sent"

    with Worker(die) as worker:
        assert worker.answer() is None


def test_an_answer_that_came_in_part_is_none() -> None:
    with Worker(lambda: LONGER_THAN_A_PIPE) as worker:
        select.select([worker.pipe], [], [])
        os.kill(worker.pid, signal.SIGKILL)
        assert worker.answer() is None


@pytest.mark.parametrize("is_asked", [True, False])
def test_a_worker_leaves_nothing_behind(is_asked: bool) -> None:
    before = os.listdir("/proc/self/fd")
    with Worker(lambda: LONGER_THAN_A_PIPE) as worker:
        assert not is_asked or worker.answer()
    assert os.listdir("/proc/self/fd") == before
    with pytest.raises(ChildProcessError):
        os.waitpid(worker.pid, 0)


def test_a_fork_that_fails_has_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more() -> int:
        raise BlockingIOError

    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr(os, "fork", no_more)
    with Worker(lambda: b"an answer") as worker:
        assert worker.answer() is None
    assert os.listdir("/proc/self/fd") == before


@contextmanager
def handling(number: int, action: Action) -> Iterator[None]:
    before = signal.signal(number, action)
    try:
        yield
    finally:
        signal.signal(number, before)


def test_whoever_started_us_may_ignore_the_end_of_children() -> None:
    with handling(signal.SIGCHLD, signal.SIG_IGN), Worker(lambda: b"an answer") as worker:
        assert worker.answer() == b"an answer"


@pytest.mark.parametrize(
    ("action", "answer"),
    [(signal.default_int_handler, None), (signal.SIG_DFL, None), (signal.SIG_IGN, b"an answer")],
)
def test_ctrl_c_ends_it_without_a_word_unless_it_is_ignored(
    action: Action,
    answer: bytes | None,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def interrupted() -> bytes:
        os.kill(os.getpid(), signal.SIGINT)
        return b"an answer"

    with handling(signal.SIGINT, action), Worker(interrupted) as worker:
        assert worker.answer() == answer
    assert capfd.readouterr() == ("", "")


def test_ctrl_c_before_it_is_ready_waits(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    fork = os.fork
    hear, tell = os.pipe()

    def interrupted(_number: int, _frame: object) -> None:
        os.write(tell, b"a child goes on as if it were its parent")
        os._exit(1)

    def fork_and_interrupt() -> int:
        pid = fork()
        if pid == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return pid

    monkeypatch.setattr(os, "fork", fork_and_interrupt)
    with handling(signal.SIGINT, interrupted), Worker(lambda: b"never") as worker:
        assert worker.answer() is None
    os.close(tell)
    with open(hear, "rb") as heard:
        assert heard.read() == b""
    assert capfd.readouterr() == ("", "")


@contextmanager
def limit(what: int, most: int) -> Iterator[None]:
    import resource

    soft, hard = resource.getrlimit(what)
    resource.setrlimit(what, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (soft, hard))


def test_without_a_descriptor_for_it_there_is_no_answer() -> None:
    import resource

    with limit(resource.RLIMIT_NOFILE, 0), Worker(lambda: b"an answer") as worker:
        assert worker.answer() is None


def test_no_fork_beside_another_thread() -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        assert not may_fork()
    finally:
        done.set()
        thread.join()


def test_no_fork_on_one_processor() -> None:
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(processors)})
    try:
        assert not may_fork()
    finally:
        os.sched_setaffinity(0, processors)
