from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from netinspect.model import Note, Owner, ParentProcess
from netinspect.processes import ProcessDetails, Processes
from tests.records import made

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: /proc")

NOBODY = 65534
NOTHING = ProcessDetails()
STAT = "{pid} ({name}) S {parent} 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {ticks} 0 0\n"


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder like /proc, which other users can read, with init in it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "stat").write_text("cpu 1 2 3\nbtime 1767323045\n")
        add_process(folder, 1, "init", parent=0)
        yield folder


def add_process(root: Path, pid: int, name: str, *, parent: int = 1, ticks: int = 0) -> Path:
    """A process, with nothing in its folder but what all have."""
    folder = root / str(pid)
    folder.mkdir()
    (folder / "stat").write_text(STAT.format(pid=pid, name=name, parent=parent, ticks=ticks))
    return folder


def add_java(root: Path) -> Path:
    """A process of which all is told."""
    folder = add_process(root, 77, "java", parent=20, ticks=4200)
    add_process(root, 20, "launcher", parent=1)
    (folder / "cmdline").write_bytes(b"/opt/jdk/bin/java\0-jar\0/srv/shop.jar\0")
    (folder / "exe").symlink_to("/opt/jdk/bin/java (deleted)")
    (folder / "status").write_text("Name:\tjava\nUid:\t0\t0\t0\t0\n")
    (folder / "cgroup").write_text(f"0::/system.slice/docker-{'ab' * 32}.scope\n")
    return folder


JAVA = ProcessDetails(
    command_line=("/opt/jdk/bin/java", "-jar", "/srv/shop.jar"),
    executable="/opt/jdk/bin/java",
    executable_deleted=True,
    parents=(ParentProcess(20, "launcher"), ParentProcess(1, "init")),
    user="root",
    unit=f"docker-{'ab' * 32}.scope",
    container="ab" * 32,
    runtime="docker",
    started_at="2026-01-02T03:04:47Z",
)


def test_all_there_is(root: Path) -> None:
    add_java(root)
    processes = Processes(str(root))
    assert processes.details(77) == JAVA
    assert processes.note() is None


def test_the_details_are_those_of_an_owner() -> None:
    assert ProcessDetails._fields == Owner.__struct_fields__[3:]


def test_what_has_ended_has_no_details(root: Path) -> None:
    processes = Processes(str(root))
    assert processes.details(99) == NOTHING
    assert processes.note() is None


def test_without_proc_there_are_none(tmp_path: Path) -> None:
    processes = Processes(str(tmp_path / "nowhere"))
    assert processes.details(1) == NOTHING
    assert processes.note() is None


def test_each_file_may_be_missing(root: Path) -> None:
    """As of the kernel's own threads, and of what ends meanwhile."""
    add_process(root, 20, "kworker", parent=2)
    (root / "stat").unlink()
    expected = NOTHING._replace(parents=(ParentProcess(2, None),))
    assert Processes(str(root)).details(20) == expected


def test_each_file_may_be_other_than_expected(root: Path) -> None:
    folder = add_java(root)
    for name in ("status", "cgroup"):
        (folder / name).write_text("?\n")
    (folder / "cmdline").write_bytes(b"")
    (root / "stat").write_text("?\n")
    assert Processes(str(root)).details(77) == JAVA._replace(
        command_line=None, user=None, unit=None, container=None, runtime=None, started_at=None
    )
    (folder / "stat").write_text("?\n")
    assert Processes(str(root)).details(77) == NOTHING


def test_a_process_is_looked_at_once(root: Path) -> None:
    add_java(root)
    processes = Processes(str(root))
    processes.details(77)
    (root / "77" / "stat").unlink()
    assert processes.details(77) == JAVA
    assert processes.details(20).parents == (ParentProcess(1, "init"),)


def test_a_user_without_a_name_is_a_number(root: Path) -> None:
    folder = add_java(root)
    (folder / "status").write_text("Uid:\t0\t3999999999\t0\t0\n")
    assert Processes(str(root)).details(77).user == "3999999999"


def test_parents_that_make_a_ring_end(root: Path) -> None:
    add_process(root, 20, "a", parent=30)
    add_process(root, 30, "b", parent=20)
    found = Processes(str(root)).details(20).parents
    assert found == (ParentProcess(30, "b"), ParentProcess(20, "a"))


def test_pid_1_has_no_parents(root: Path) -> None:
    assert Processes(str(root)).details(1).parents == ()


def test_a_socket_with_all_its_owners(root: Path) -> None:
    add_java(root)
    connection = made(owners=(Owner(77, "java", 5), Owner(99, "gone", 6)))
    (described,) = Processes(str(root)).describe([connection])
    assert described == made(
        owners=(
            Owner(77, "java", 5, **JAVA._asdict()),
            Owner(99, "gone", 6, **NOTHING._asdict()),
        )
    )


def test_a_socket_without_owners_stays_as_it_is(root: Path) -> None:
    connection = made(owners=())
    (described,) = Processes(str(root)).describe([connection])
    assert described is connection


def run_as_nobody(root: Path, *pids: int) -> str:
    """What Processes says of these to a user who may not look into others' processes."""
    code = (
        "import os, sys\n"
        "from netinspect.processes import Processes\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "processes = Processes(sys.argv[1])\n"
        "for pid in sys.argv[2:]:\n"
        "    found = processes.details(int(pid))\n"
        "    print(found.executable, found.command_line, found.parents)\n"
        "print(processes.note())\n"
    )
    command = [sys.executable, "-c", code, str(root), *map(str, pids)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    return done.stdout


needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root: it becomes nobody"
)


@needs_root
def test_what_may_not_be_read_is_said(root: Path) -> None:
    for pid in (20, 30, 40):
        add_process(root, pid, "secret").chmod(0o700)
    add_process(root, 50, "child", parent=40)
    note = Note(
        "process_details_hidden",
        3,
        "some details of 3 processes may not be read; run as root to see all",
    )
    assert run_as_nobody(root, 20, 30, 50).splitlines() == [
        "None None None",
        "None None None",
        f"None None {(ParentProcess(40, None),)}",
        str(note),
    ]


@needs_root
@pytest.mark.live
def test_a_process_of_another_user() -> None:
    """Only its executable may not be read."""
    lines = run_as_nobody(Path("/proc"), os.getpid()).splitlines()
    assert lines[0].startswith("None ('")
    assert "('" in lines[0]
    assert lines[1] == str(
        Note(
            "process_details_hidden",
            1,
            "some details of 1 process may not be read; run as root to see all",
        )
    )


@pytest.mark.live
def test_this_process() -> None:
    found = Processes().details(os.getpid())
    parents = found.parents or ()
    assert parents[0].pid == os.getppid()
    assert parents[-1].pid == 1 or parents[-1].process is None
    assert found.executable == os.path.realpath("/proc/self/exe")
    assert found.executable_deleted is False
    assert found.command_line is not None
    assert found.command_line[0].endswith(os.path.basename(sys.orig_argv[0]))
    started_at = datetime.fromisoformat((found.started_at or "").replace("Z", "+00:00"))
    assert timedelta(0) <= datetime.now(timezone.utc) - started_at < timedelta(days=1)


# It takes the name of its first argument, starts a child, and waits.
NAMED = """
import subprocess, sys
open("/proc/self/comm", "wb").write(sys.argv[1].encode(errors="surrogateescape"))
with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
    print(child.pid, flush=True)
    input()
    child.kill()
"""


@pytest.mark.live
def test_a_parent_with_an_odd_name() -> None:
    command: list[str | bytes] = [sys.executable, "-c", NAMED, b"\n) R 1 (\xff\x1b"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        found = Processes().details(child)
        parent.communicate(b"\n")
    assert found.parents
    assert found.parents[0] == ParentProcess(parent.pid, "\n) R 1 (\\xff\x1b")
    assert found.parents[1].pid == os.getpid()


@pytest.mark.live
def test_a_program_that_was_deleted_with_odd_arguments(tmp_path: Path) -> None:
    program = tmp_path / "odd \\ cat"
    program.write_bytes(Path("/bin/cat").read_bytes())
    program.chmod(0o755)
    command = [bytes(program), b"-", b"", b"a b\n", b"\xff"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as cat:
        assert cat.stdin
        assert cat.stdout
        cat.stdin.write(b"x")
        cat.stdin.flush()
        assert cat.stdout.read(1) == b"x"
        program.unlink()
        found = Processes().details(cat.pid)
        cat.kill()
    name = str(program).replace("\\", "\\\\")
    assert found.command_line == (name, "-", "", "a b\n", "\\xff")
    assert (found.executable, found.executable_deleted) == (name, True)
