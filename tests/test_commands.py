"""Running a system's program: each way in which it can fail has its own message."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from netinspect.errors import RefusedError
from netinspect.sources.commands import Command
from netinspect.sources.platforms import (
    PLATFORM_VARIABLE,
    ROOT_VARIABLE,
    platform,
    preferred_sources,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a Unix: sh and signals")
PATH = "/usr/sbin/tool"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "usr/sbin").mkdir(parents=True)
    return tmp_path


def command(root: Path, script: str, *arguments: str, **options: Any) -> Command:
    """The run of a program that does this."""
    program = root / "usr/sbin/tool"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return Command(PATH, *arguments, root=str(root), **options)


def failure(run: Command) -> str:
    with pytest.raises(RefusedError) as caught:
        list(run)
    return str(caught.value)


def test_the_lines(root: Path) -> None:
    run = command(root, r"printf 'a\nb \r\n\n\377\nend'")
    assert list(run) == ["a", "b \r", "", "\udcff", "end"]
    assert not run.printed_nothing


def test_lines_that_come_in_pieces_and_are_many(root: Path) -> None:
    run = command(root, "printf one; printf 'half\n'; seq 30000")
    assert list(run) == ["onehalf", *map(str, range(1, 30001))]


def test_arguments_locale_and_stdin(root: Path) -> None:
    script = 'for word; do echo "<$word>"; done; echo "$LC_ALL"; read x || echo nothing to read'
    run = command(root, script, "-p", "tcp; rm", "$HOME")
    assert list(run) == ["<-p>", "<tcp; rm>", "<$HOME>", "C", "nothing to read"]


def test_the_root_from_the_environment(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command(root, "echo here")
    monkeypatch.setenv(ROOT_VARIABLE, f"{root}/")
    assert list(Command(PATH)) == ["here"]


def test_nothing_printed_is_no_error(root: Path) -> None:
    run = command(root, ":")
    assert (list(run), run.printed_nothing, run.complaint) == ([], True, "")


def test_nothing_to_tell_has_a_status_of_its_own(root: Path) -> None:
    assert list(command(root, "exit 1", nothing_status=1)) == []
    assert failure(command(root, "echo a; exit 1", nothing_status=1)) == (
        f"{root}{PATH}: exit status 1; run it by hand to see why"
    )


def test_a_part_of_the_answer_has_a_status_of_its_own(root: Path) -> None:
    run = command(root, "echo a; echo 'tool: no b' >&2; exit 1", partial_status=1)
    assert (list(run), run.complaint) == (["a"], "tool: no b")
    assert failure(command(root, "echo 'tool: no b' >&2; exit 1", partial_status=1)) == (
        f"{root}{PATH}: exit status 1: tool: no b; run it by hand to see why"
    )


def test_a_complaint_beside_an_answer_is_kept(root: Path) -> None:
    run = command(root, "echo row; printf 'tool: odd\n\n  very\033 odd\n' >&2")
    assert list(run) == ["row"]
    assert run.complaint == "tool: odd / very\x1b odd"


def test_missing(root: Path) -> None:
    message = failure(Command(PATH, root=str(root)))
    assert message == (
        f"{root}{PATH}: no such program (it is part of the system; --source psutil does without it)"
    )


def test_may_not_be_run(root: Path) -> None:
    run = command(root, ":")
    (root / "usr/sbin/tool").chmod(0o644)
    assert failure(run) == f"{root}{PATH}: cannot be run: Permission denied"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 3", "exit status 3"),
        ("echo row; exit 3", "exit status 3"),
        ("echo 'tool: option requires an argument -- p' >&2; echo 'usage: tool' >&2; exit 1",
         "exit status 1: tool: option requires an argument -- p / usage: tool"),
        ("echo 'tool: sysctl: not permitted' >&2", "exit status 0: tool: sysctl: not permitted"),
        ("kill -SEGV $$", "killed by SIGSEGV"),
        ("echo dying >&2; kill -9 $$", "killed by SIGKILL: dying"),
    ],
    ids=["status", "status after a row", "usage", "an error with status 0", "signal", "kill"],
)  # fmt: skip
def test_failures(root: Path, script: str, said: str) -> None:
    run = command(root, script, "-x")
    assert failure(run) == f"{root}{PATH} -x: {said}; run it by hand to see why"


@pytest.mark.parametrize(
    "script",
    ["sleep 60", "echo row; sleep 60", "sleep 60 & sleep 60", "exec >&- 2>&-; sleep 60"],
    ids=["at once", "after a row", "with a child", "with its output closed"],
)
def test_silent_for_too_long(root: Path, script: str) -> None:
    run = command(root, script, silence_s=0.2)
    message = failure(run)
    assert message == f"{root}{PATH}: silent for 0.2 seconds, ended; run it by hand to see why"


def test_the_program_ends_with_the_iteration(root: Path) -> None:
    lines = iter(command(root, "echo $$; sleep 60"))
    pid = int(next(lines))
    lines.close()  # type: ignore[attr-defined]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_more_than_sockets_can_be(root: Path) -> None:
    run = command(root, "head -c 1200000 /dev/zero")
    assert failure(run) == (
        f"{root}{PATH}: more output than sockets can be; run it by hand to see why"
    )


def test_much_complaint_is_cut(root: Path) -> None:
    run = command(root, "echo row; head -c 100000 /dev/zero | tr '\\0' x >&2")
    assert list(run) == ["row"]
    assert run.complaint == "x" * 4096


def test_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PLATFORM_VARIABLE, raising=False)
    assert platform() == sys.platform
    monkeypatch.setenv(PLATFORM_VARIABLE, "freebsd15")
    assert platform() == "freebsd15"


def test_the_sources_of_a_platform() -> None:
    assert preferred_sources("linux") == ("sock_diag", "proc", "psutil")
    assert preferred_sources("sunos5") == ("psutil",)
