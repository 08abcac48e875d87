"""What ss, netstat and the kernel say of real sockets, read back: as our own look has it."""

from __future__ import annotations

import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pytest
from msgspec import UNSET, Struct

from netinspect.api import snapshot
from netinspect.model import Connection, Snapshot
from tests.namespace import private_network, why_not
from tests.sockets import open_zoo

pytestmark = pytest.mark.live


class Captured(NamedTuple):
    """How a capture is made, what it is of, and which keys are not as our own look has them."""

    command: tuple[str, ...]
    protocols: tuple[str, ...]
    format: str
    otherwise: frozenset[str] = frozenset()


ALL = ("tcp", "udp", "raw", "unix")
# No zone; paths end at a blank; of unix sockets no peer, by which we know who connected
FILES = frozenset(("local_address", "remote_address", "direction"))
# The first process and no descriptor
NETSTAT = FILES | {"owners", "pid"}
NAMES = ("tcp", "tcp6", "udp", "udp6", "raw", "raw6", "unix")
TAIL = ("tail", "-n", "+1", *(f"/proc/self/net/{name}" for name in NAMES))
CAPTURES = {
    "ss": Captured(("ss", "-tuwxanp"), ALL, "ss"),
    "ss in single lines": Captured(("ss", "-tuwxanpemioOH"), ALL, "ss"),
    "ss in lines": Captured(("ss", "-tuxanpemio"), ("tcp", "udp", "unix"), "ss"),
    "ss of TCP": Captured(("ss", "-tan"), ("tcp",), "ss"),
    "ss of UDP": Captured(("ss", "-uane"), ("udp",), "ss"),
    "netstat": Captured(("netstat", "-tuwan"), ALL[:3], "gnu-netstat", NETSTAT),
    "netstat wide": Captured(("netstat", "-tuwxanpeoW"), ALL, "gnu-netstat", NETSTAT),
    "files": Captured(TAIL, ALL, "proc", FILES),
}
# They grow between two looks, of a socket with a timer more than these
GROWING = frozenset(
    ("last_data_sent_ms_ago", "last_data_received_ms_ago", "last_ack_received_ms_ago")
) | {"drops", "expires_ms", "retransmits"}


class Seen(NamedTuple):
    """Our own looks before and after, and what was made of each capture."""

    before: tuple[Connection, ...]
    live: tuple[Connection, ...]
    captured: dict[str, Snapshot]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    if reason := why_not():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("captures")
    with private_network(), open_zoo():
        before = snapshot(protocols=["all"], extended=True).connections
        for name, captured in CAPTURES.items():
            if shutil.which(captured.command[0]):
                (folder / name).write_bytes(output_of(captured.command))
        if shutil.which("ss"):
            output_of(("ss", "-tanemioD", str(folder / "ss -D")))
        live = snapshot(protocols=["all"], extended=True).connections
    paths = sorted(folder.iterdir())
    return Seen(before, live, {p.name: snapshot(captures=[str(p)], extended=True) for p in paths})


def output_of(command: Sequence[str]) -> bytes:
    return subprocess.run(command, capture_output=True, check=True).stdout


def captured(seen: Seen, name: str) -> Snapshot:
    if name not in seen.captured:
        pytest.skip(f"{name.partition(' ')[0]} is not installed")
    return seen.captured[name]


class Finder:
    """Our own records of both looks, by inode and by both ends."""

    def __init__(self, seen: Seen) -> None:
        self._found: defaultdict[Any, list[Connection]] = defaultdict(list)
        for connection in (*seen.before, *seen.live):
            self._found[ends(connection)].append(connection)
            if connection.inode:
                self._found[connection.inode].append(connection)

    def find(self, connection: Connection) -> list[Connection]:
        return self._found.get(connection.inode) or self._found[ends(connection)]

    def verdicts(self, theirs: Connection, otherwise: frozenset[str]) -> list[list[str]]:
        """The differences to each of our records of this socket: to one of them there are none.

        What moved between our looks may have been anything between them.
        """
        ours = self.find(theirs)
        moving = {
            key
            for key in ("tcp_info", "memory", "timer", "recv_q", "send_q")
            if len({repr(steady(getattr(record, key))) for record in ours}) > 1
        }
        return [list(differences(theirs, record, otherwise | moving)) for record in ours]


def steady(value: Any) -> Any:
    """Without what grows even while nothing happens."""
    if not isinstance(value, Struct):
        return value
    return [getattr(value, key) for key in value.__struct_fields__ if key not in GROWING]


def ends(c: Connection) -> tuple[Any, ...]:
    addresses = (
        (address or "").partition("%")[0] for address in (c.local_address, c.remote_address)
    )
    return c.protocol, c.family, c.state, c.local_port, c.remote_port, *addresses


def differences(theirs: Struct, ours: Struct, otherwise: frozenset[str]) -> Iterator[str]:
    """The keys that the capture tells, and tells otherwise than we do."""
    for key in theirs.__struct_fields__:
        said, known = getattr(theirs, key), getattr(ours, key, None)
        if said in (None, UNSET, ()) or key in otherwise or key == "owner_status":
            continue
        if isinstance(said, Struct) and isinstance(known, Struct):
            if key != "tcp_info" or getattr(ours, "timer", None) is None:
                yield from (f"{key}.{k}" for k in differences(said, known, GROWING))
        elif plain(said) != plain(known):
            yield f"{key}: {said!r}, not {known!r}"


def plain(value: Any) -> Any:
    """As ss prints it: six digits of a number, of an owner nothing more."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return [(owner.pid, owner.process, owner.fd) for owner in value]
    return value


@pytest.mark.parametrize("name", CAPTURES)
def test_all_that_a_capture_tells_is_true(seen: Seen, name: str) -> None:
    finder, otherwise = Finder(seen), CAPTURES[name].otherwise | {"process"}
    for theirs in captured(seen, name).connections:
        if is_ambiguous(theirs):
            continue
        found = finder.verdicts(theirs, otherwise)
        assert [] in found, (theirs, found)


def is_ambiguous(connection: Connection) -> bool:
    """An abstract name may have a NUL, printed as @; a path may begin with one, or forge a row."""
    address = connection.local_address or ""
    return connection.protocol == "unix" and address.startswith(("@", "/forged"))


@pytest.mark.parametrize("name", CAPTURES)
def test_no_socket_is_missing(seen: Seen, name: str) -> None:
    protocols = set(CAPTURES[name].protocols)
    if not name.startswith("ss"):  # a unix path with a line break forges rows there
        protocols.discard("unix")
    wanted = [c for c in seen.live if c.protocol in protocols and is_shown(c)]
    found = [c for c in captured(seen, name).connections if c.protocol in protocols]
    assert len(found) == len(wanted)


def is_shown(connection: Connection) -> bool:
    """None of them shows what is merely bound; a line break ends the row of ss."""
    return connection.state != "BOUND" and "\n" not in (connection.local_address or "")


@pytest.mark.parametrize("name", CAPTURES)
def test_the_format_is_recognised(seen: Seen, name: str) -> None:
    assert captured(seen, name).sources == (CAPTURES[name].format,)


def test_a_binary_dump_is_what_the_kernel_told_us(seen: Seen) -> None:
    dump = captured(seen, "ss -D")
    assert (dump.sources, dump.notes) == (("ss-dump",), ())
    finder = Finder(seen)
    otherwise = frozenset(("interface", "local_address", "remote_address", "options"))
    for theirs in dump.connections:
        found = finder.verdicts(theirs, otherwise)
        assert [] in found, (theirs, found)
    assert len(dump.connections) == len(
        [c for c in seen.live if c.protocol == "tcp" and is_shown(c)]
    )


def test_the_owners_of_a_capture_are_those_that_it_names(seen: Seen) -> None:
    told = {c.inode: c for c in captured(seen, "ss in single lines").connections}
    for ours in seen.live:
        theirs = told.get(ours.inode)
        if theirs and ours.owner_status in ("known", "none"):
            assert theirs.owner_status == ours.owner_status


def test_what_a_line_break_in_a_path_tears_is_counted(seen: Seen) -> None:
    (note,) = [n for n in captured(seen, "ss").notes if n.code == "rows_skipped"]
    assert any("\n" in (c.local_address or "") for c in seen.live)
    assert note.count is not None
    assert note.count > 0
