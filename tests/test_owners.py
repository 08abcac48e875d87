from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from netinspect.model import Connection, Note, Owner
from netinspect.owners import Owners, find_owners, process_exists
from tests.records import made

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: /proc")

NEVER = sys.maxsize
NOBODY = 65534
needs_two_processors = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="needs two processors: with one the work is not shared",
)


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder like /proc, which other users can read, with init in it."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        folder = Path(name)
        add_process(folder, 1, b"init", {})
        yield folder


def add_process(root: Path, pid: int, name: bytes | None, links: dict[int, str]) -> Path:
    """A process with these descriptors; the folder with them."""
    folder = root / str(pid) / "fd"
    folder.mkdir(parents=True)
    for fd, link in links.items():
        (folder / str(fd)).symlink_to(link)
    if name is not None:
        (folder.parent / "comm").write_bytes(name + b"\n")
    return folder


def sockets(*inodes: int) -> dict[int, str]:
    """Descriptors from 3 on of sockets with these inodes."""
    return {fd: f"socket:[{inode}]" for fd, inode in enumerate(inodes, start=3)}


def record(inode: int | None) -> Connection:
    """A socket as a source has it."""
    return made(inode=inode, pid=None, process=None, owners=(), owner_status="not_requested")


def attached(owners: Owners, inode: int | None) -> Connection:
    (connection,) = owners.attach([record(inode)])
    return connection


def find(root: Path, inode: int, **options: Any) -> Connection:
    return attached(find_owners(root=str(root), **options), inode)


def status(root: Path, inode: int) -> tuple[str, str | None]:
    """What becomes of a socket, and the note on it."""
    owners = find_owners(root=str(root), fork_from=NEVER)
    found = attached(owners, inode)
    note = owners.note()
    return found.owner_status, note.message if note else None


def test_the_owner_of_a_socket(root: Path) -> None:
    add_process(root, 20, b"nginx", {0: "/dev/null", 7: "socket:[123]"})
    assert find(root, 123) == made(
        inode=123,
        pid=20,
        process="nginx",
        owners=(Owner(20, "nginx", 7),),
        owner_status="known",
    )


def test_a_shared_socket_has_all_its_owners_by_pid_and_descriptor(root: Path) -> None:
    add_process(root, 100, b"worker", {3: "socket:[5]"})
    add_process(root, 20, b"master", {10: "socket:[5]", 9: "socket:[5]", 4: "socket:[6]"})
    found = find(root, 5)
    assert found.owners == (
        Owner(20, "master", 9),
        Owner(20, "master", 10),
        Owner(100, "worker", 3),
    )
    assert (found.pid, found.process) == (20, "master")


def test_only_sockets_are_looked_for(root: Path) -> None:
    links = ("/run/socket:[5]", "pipe:[5]", "anon_inode:[eventpoll]", "/memfd:socket:[5] (deleted)")
    add_process(root, 20, b"other", dict(enumerate(links)))
    assert status(root, 5) == ("not_found", None)


def test_what_is_no_process_is_passed_over(root: Path) -> None:
    (root / "net").mkdir()
    (root / "self").symlink_to("1")
    (root / "uptime").write_text("1.0 1.0\n")
    add_process(root, 20, b"nginx", sockets(5))
    assert find(root, 5).owners == (Owner(20, "nginx", 3),)


def test_only_wanted_sockets_are_kept(root: Path) -> None:
    add_process(root, 20, b"nginx", sockets(5, 6))
    owners = find_owners({6}, str(root), fork_from=NEVER)
    assert attached(owners, 6).owners == (Owner(20, "nginx", 4),)
    assert attached(owners, 5).owner_status == "not_found"


def test_a_socket_without_an_inode_stays_as_it_is(root: Path) -> None:
    add_process(root, 20, b"odd", sockets(0))
    connection = made(inode=None, owners=(), owner_status="none")
    assert find_owners(root=str(root)).attach([connection]) == [connection]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"", ""),
        (b"a b) S 1", "a b) S 1"),
        (b"caf\xc3\xa9", "caf\u00e9"),
        (b"caf\xe9", "caf\\xe9"),
        (b"a\\b", "a\\\\b"),
        (b"two\nlines\n", "two\nlines\n"),
        (b"\x1b[31m", "\x1b[31m"),
    ],
    ids=ascii,
)
def test_names(root: Path, name: bytes, expected: str) -> None:
    add_process(root, 20, name, sockets(5))
    assert find(root, 5).process == expected


def test_a_process_that_ended_after_the_scan_has_no_name(root: Path) -> None:
    add_process(root, 20, None, sockets(5))
    found = find(root, 5)
    assert (found.pid, found.process, found.owner_status) == (20, None, "known")


def test_a_process_that_ended_before_it_was_scanned(root: Path) -> None:
    (root / "20").mkdir()
    add_process(root, 30, b"nginx", sockets(5))
    assert find(root, 5).owners == (Owner(30, "nginx", 3),)
    assert status(root, 6) == ("not_found", None)


class Hook(set[int]):
    """Wants everything, and does something when it is asked for the first time."""

    def __init__(self, act: Callable[[], None]) -> None:
        self.act = act
        self.is_asked = False

    def __contains__(self, inode: object) -> bool:
        if not self.is_asked:
            self.is_asked = True
            self.act()
        return True


def test_a_process_that_ends_during_the_scan(root: Path) -> None:
    folder = add_process(root, 20, b"brief", sockets(5, 6, 7))
    add_process(root, 30, b"nginx", sockets(8))

    def end() -> None:
        for link in folder.iterdir():
            link.unlink()
        folder.rmdir()
        (folder.parent / "comm").unlink()

    owners = find_owners(Hook(end), str(root), fork_from=NEVER)
    found = owners.attach([record(5), record(6), record(7), record(8)])
    assert sorted(c.owner_status for c in found[:3]) == ["known", "not_found", "not_found"]
    assert found[3].owners == (Owner(30, "nginx", 3),)


def test_an_inode_that_nobody_holds_was_not_found(root: Path) -> None:
    owners = find_owners(root=str(root))
    assert attached(owners, 5) == made(
        inode=5, pid=None, process=None, owners=(), owner_status="not_found"
    )
    assert owners.note() is None


def way_out() -> str:
    if os.geteuid() == 0:
        return "root needs CAP_SYS_PTRACE and no security module in the way to see all"
    return "run as root to see all"


def test_with_hidepid_init_is_not_listed(root: Path) -> None:
    (root / "1").rename(root / "20")
    add_process(root, 21, b"nginx", sockets(5))
    assert status(root, 5) == ("known", None)
    assert status(root, 6) == (
        "hidden",
        "the owner of 1 socket is hidden: /proc shows only one's own processes (hidepid); "
        + way_out(),
    )


def test_in_a_container_others_may_hold_it(root: Path) -> None:
    namespace = root / "self/ns/pid"
    namespace.parent.mkdir(parents=True)
    namespace.touch()
    add_process(root, 21, b"nginx", sockets(5))
    assert status(root, 5) == ("known", None)
    assert status(root, 6) == (
        "hidden",
        (
            "the owner of 1 socket is hidden: processes outside of this PID namespace (container) "
            "cannot be seen from within"
        ),
    )


def test_without_any_proc(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        assert status(folder, 5) == (
            "hidden",
            (
                f"the owner of 1 socket is hidden: no processes can be seen in {folder}; "
                "mount it to see them"
            ),
        )


def test_a_note_counts_the_sockets_that_were_asked_for(tmp_path: Path) -> None:
    owners = find_owners(root=str(tmp_path))
    assert owners.note() is None
    owners.attach([record(5), record(None)])
    owners.attach([record(6)])
    expected = (
        f"the owners of 2 sockets are hidden: no processes can be seen in {tmp_path}; "
        "mount it to see them"
    )
    assert owners.note() == Note("owners_hidden", 2, expected)


def test_what_was_closed_since_it_was_read_is_not_hidden(tmp_path: Path) -> None:
    readings = iter([{5}])
    owners = find_owners(root=str(tmp_path), reread=lambda: next(readings))
    found = owners.attach([record(5), record(6)]) + owners.attach([record(7), record(None)])
    assert [c.owner_status for c in found] == ["hidden", "not_found", "not_found", "not_requested"]
    note = owners.note()
    assert note is not None
    assert note.count == 1


def test_nothing_is_read_again_where_nothing_is_hidden(root: Path, tmp_path: Path) -> None:
    add_process(root, 20, b"nginx", sockets(5))
    owners = find_owners(root=str(root), reread=lambda: pytest.fail("all could be seen"))
    assert [attached(owners, inode).owner_status for inode in (5, 6)] == ["known", "not_found"]
    owners = find_owners(root=str(tmp_path), reread=lambda: pytest.fail("it has no inode"))
    assert attached(owners, None).owner_status == "not_requested"


def as_nobody(function: Callable[[], Any]) -> Any:
    """What the function returns to a process without rights; it must be JSON."""
    if os.geteuid() != 0:
        return function()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            with open(writing, "w") as pipe:
                json.dump(function(), pipe)
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as pipe:
        result = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(result)


@pytest.mark.parametrize("fork_from", [0, NEVER], ids=["shared", "alone"])
def test_a_process_that_may_not_be_looked_into(root: Path, fork_from: int) -> None:
    for pid in (20, 30):
        add_process(root, pid, b"secret", sockets(pid)).chmod(0)
    add_process(root, 40, b"nginx", sockets(5))

    def look() -> list[Any]:
        owners = find_owners(root=str(root), fork_from=fork_from)
        found = owners.attach([record(5), record(20)])
        note = owners.note()
        return [[c.owner_status for c in found], note and note.message]

    assert as_nobody(look) == [
        ["known", "hidden"],
        (
            "the owner of 1 socket is hidden: 2 processes may not be looked into; "
            "run as root to see all"
        ),
    ]
    (root / "30/fd").chmod(0o755)
    assert as_nobody(look)[1] == (
        "the owner of 1 socket is hidden: 1 process may not be looked into; run as root to see all"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: its own socket is to be hidden")
@pytest.mark.parametrize("fork_from", [NEVER, 0], ids=["alone", "shared"])
def test_roots_sockets_are_hidden_from_others(fork_from: int) -> None:
    with socket.socket() as mine:
        inode = os.fstat(mine.fileno()).st_ino
        pid = os.getpid()

        def look() -> list[Any]:
            with socket.socket() as own:
                own_inode = os.fstat(own.fileno()).st_ino
                found = find_owners(fork_from=fork_from).attach([record(own_inode)])[0]
                return [found.owner_status, found.pid == os.getpid()]

        assert as_nobody(look) == ["known", True]
        # the child has inherited `mine`, too: only the parent is hidden from it
        holders = as_nobody(
            lambda: [o.pid for o in attached(find_owners(fork_from=fork_from), inode).owners]
        )
        assert len(holders) == 1
        assert pid not in holders


def many_processes(root: Path) -> None:
    """Processes with few and many sockets, some of them shared."""
    for pid in range(20, 40):
        add_process(root, pid, f"process {pid}".encode(), sockets(*range(pid % 7), 1000, pid))


@needs_two_processors
def test_two_processes_find_what_one_does(root: Path) -> None:
    many_processes(root)
    connections = [record(inode) for inode in (*range(8), *range(20, 40), 1000, 9999)]
    alone = find_owners(root=str(root), fork_from=NEVER).attach(connections)
    shared = find_owners(root=str(root), fork_from=0).attach(connections)
    assert shared == alone
    assert len(alone[-2].owners) == 20


class Witness(set[int]):
    """Wants everything, and writes down which processes ask."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __contains__(self, inode: object) -> bool:
        with self.path.open("a") as file:
            file.write(f"{os.getpid()}\n")
        return True

    def pids(self) -> list[int]:
        """One for each socket that was seen."""
        return [int(line) for line in self.path.read_text().splitlines()]


@needs_two_processors
def test_the_work_is_shared_from_so_many_descriptors_on(root: Path, tmp_path: Path) -> None:
    many_processes(root)
    total = sum(os.stat(root / name / "fd").st_size for name in os.listdir(root))
    witness = Witness(tmp_path / "shared")
    find_owners(witness, str(root), fork_from=total)
    assert len(set(witness.pids())) == 2
    once = len(witness.pids())
    witness = Witness(tmp_path / "alone")
    find_owners(witness, str(root), fork_from=total + 1)
    assert set(witness.pids()) == {os.getpid()}
    assert len(witness.pids()) == once, "what one found the other looked for again"


def test_beside_another_thread_the_work_is_not_shared(root: Path, tmp_path: Path) -> None:
    many_processes(root)
    witness = Witness(tmp_path / "pids")
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        find_owners(witness, str(root), fork_from=0)
    finally:
        stop.set()
        thread.join()
    assert set(witness.pids()) == {os.getpid()}


@needs_two_processors
def test_what_a_worker_that_dies_had_to_do_is_done_again(root: Path) -> None:
    many_processes(root)
    parent = os.getpid()

    def die_in_the_worker() -> None:
        if os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    owners = find_owners(Hook(die_in_the_worker), str(root), fork_from=0)
    assert len(attached(owners, 1000).owners) == 20


def own(sock: socket.socket) -> Connection:
    return attached(find_owners({os.fstat(sock.fileno()).st_ino}), os.fstat(sock.fileno()).st_ino)


def own_name() -> str:
    return Path("/proc/self/comm").read_text().removesuffix("\n")


def test_own_socket_with_two_descriptors() -> None:
    with socket.socket() as sock, sock.dup() as copy:
        fds = sorted((sock.fileno(), copy.fileno()))
        assert own(sock).owners == tuple(Owner(os.getpid(), own_name(), fd) for fd in fds)


def test_threads_are_no_owners_of_their_own() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        with socket.socket() as sock:
            assert own(sock).owners == (Owner(os.getpid(), own_name(), sock.fileno()),)
    finally:
        stop.set()
        thread.join()


def test_a_socket_that_a_child_holds_too() -> None:
    with socket.socket() as sock:
        code = "import sys; print(flush=True); sys.stdin.read()"
        child = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[sock.fileno()],
        )
        with child:
            assert child.stdout
            child.stdout.readline()  # it has become python
            pids = [owner.pid for owner in own(sock).owners]
            assert pids == sorted((os.getpid(), child.pid))
            assert [owner.fd for owner in own(sock).owners] == [sock.fileno()] * 2
        assert [owner.pid for owner in own(sock).owners] == [os.getpid()]


def test_a_socket_that_travels_is_nobodys_until_it_arrives() -> None:
    here, there = socket.socketpair()
    with here, there:
        traveller = socket.socket()
        inode = os.fstat(traveller.fileno()).st_ino
        socket.send_fds(here, [b"x"], [traveller.fileno()])
        traveller.close()
        assert attached(find_owners({inode}), inode).owners == ()
        _, (fd,), _, _ = socket.recv_fds(there, 1, 1)
        with socket.socket(fileno=fd):
            found = attached(find_owners({inode}), inode)
            assert found.owners == (Owner(os.getpid(), own_name(), fd),)


def test_processes_that_exist() -> None:
    assert process_exists(os.getpid())
    assert process_exists(1)
    assert as_nobody(lambda: process_exists(1)) is True


def test_processes_that_do_not_exist() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    for pid in (0, child.pid, 2**22 + 1, 2**31, 2**64):
        assert not process_exists(pid)
