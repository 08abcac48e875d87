"""Where a capture comes from, what it is taken for, and what is said of it."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import asdict

from netinspect.api import Listing, group, group_by, snapshot, summarize
from netinspect.errors import ParseError, SourceError, UsageError
from netinspect.filters.selection import select
from netinspect.grouping.keys import parse_grouping
from netinspect.model import EVERY_TABLE, Note, Owner, Snapshot
from netinspect.parse.netinspect_output import Origin
from netinspect.sources.capture import BLOCK_SIZE, Capture, Captures, format_names, formats
from tests.program import PROGRAM
from tests.records import ENVELOPE, made

ROW = "tcp        0      0 10.0.0.1:443            192.0.2.9:51000         ESTABLISHED\n"
LISTENER = "tcp        0      0 0.0.0.0:443             0.0.0.0:*               LISTEN\n"
UDP = "udp        0      0 0.0.0.0:53              0.0.0.0:*\n"
WRONG = "tcp        0      0 10.0.0.1:443            192.0.2.9:51000         ESTABLISHD\n"
SS = 'tcp ESTAB 0 0 10.0.0.1:443 192.0.2.9:51000 users:(("nginx",pid=812,fd=6)) ino:31337 sk:1f\n'


def written(folder: Path, content: str | bytes, name: str = "capture") -> str:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def message_of(path: str, *names: str) -> str:
    with pytest.raises(UsageError) as caught:
        Captures([path], names)
    return str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    path = str(tmp_path / "none")
    assert message_of(path) == f"{path}: No such file or directory"


def test_a_folder(tmp_path: Path) -> None:
    assert message_of(str(tmp_path)) == f"{tmp_path}: Is a directory"


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_an_empty_file(tmp_path: Path, content: str) -> None:
    path = written(tmp_path, content)
    assert message_of(path) == (
        f"{path} is empty; netstat of macOS and lsof print nothing when there are no sockets: "
        "name the tool with --format"
    )
    assert snapshot(captures=path, capture_formats="macos-netstat").connections == ()


def test_what_no_tool_prints(tmp_path: Path) -> None:
    path = written(tmp_path, b"\xffELF\0 what is this, and where does it come from?\n")
    begins = r"\xffELF\x00 what is this, and where does it co"
    assert message_of(path) == (
        f"{path} is not what a known tool prints (it begins with '{begins}'); name the tool with "
        f"--format, one of {', '.join(format_names()[1:])}"
    )


def test_a_format_that_does_not_exist(tmp_path: Path) -> None:
    path = written(tmp_path, ROW)
    assert (
        message_of(path, "gnu-netstt") == "unknown format 'gnu-netstt'; did you mean gnu-netstat?"
    )


def test_one_format_for_each_capture(tmp_path: Path) -> None:
    path = written(tmp_path, ROW)
    assert message_of(path, "auto", "ss") == (
        "--format: expected one for each --from, which are 1, found 2; auto recognises one"
    )


def test_stdin_is_read_once() -> None:
    with pytest.raises(UsageError, match=r"^--from -: stdin can be read only once$"):
        Captures(["-", "-"])


def test_each_format_has_a_name_of_its_own() -> None:
    names = [known.name for known in formats()]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in names)


@pytest.mark.parametrize(
    "content",
    [
        ROW.replace("\n", "\r\n").encode(),
        ("\ufeff" + ROW).encode(),
        ("\ufeff" + ROW.replace("\n", "\r\n")).encode("utf-16-le"),
        ROW.rstrip("\n").encode(),
        (ROW.rstrip("\n") + "\r").encode(),
    ],
    ids=["windows", "marked", "PowerShell", "no end", "cut end"],
)
def test_other_line_ends_and_encodings(tmp_path: Path, content: bytes) -> None:
    shown = snapshot(captures=written(tmp_path, content))
    assert (shown.sources, shown.notes) == (("gnu-netstat",), ())
    (record,) = shown.connections
    assert (record.local_port, record.remote_port, record.state) == (443, 51000, "ESTABLISHED")


def test_blocks_are_cut_anywhere(tmp_path: Path) -> None:
    rows = ROW * (3 * BLOCK_SIZE // len(ROW)) + LISTENER
    shown = snapshot(captures=written(tmp_path, rows))
    assert len(shown.connections) == rows.count("\n")
    assert shown.notes == ()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_capture_in_a_pipe_is_read_as_it_comes(tmp_path: Path) -> None:
    pipe = str(tmp_path / "pipe")
    os.mkfifo(pipe)
    with subprocess.Popen(["sh", "-c", f"for n in 1 2 3; do echo '{ROW.strip()}'; done > {pipe}"]):
        assert len(snapshot(captures=pipe).connections) == 3


def test_all_protocols_are_shown_and_the_origin_is_not_known(tmp_path: Path) -> None:
    shown = snapshot(captures=written(tmp_path, ROW + UDP))
    assert [record.protocol for record in shown.connections] == ["tcp", "udp"]
    assert (shown.host, shown.platform, shown.taken_at) == (None, None, None)
    assert {record.owner_status for record in shown.connections} == {"unsupported"}


def test_every_filter_works(tmp_path: Path) -> None:
    path = written(tmp_path, ROW + LISTENER + UDP)
    ports = [snapshot(captures=path, **asked).connections for asked in (
        {"protocols": ["udp"]}, {"states": ["listen"]}, {"remote_addresses": ["192.0.2.0/24"]},
        {"expression": "sport = :53 or state established"}, {"exposures": ["any"]},
        {"directions": ["inbound"]}, {"families": ["ipv6"]},
    )]  # fmt: skip
    assert [[c.local_port for c in found] for found in ports] == [
        [53], [443], [443], [443, 53], [443, 53], [443], [],
    ]  # fmt: skip


def test_without_listeners_in_the_capture_no_direction_is_known(tmp_path: Path) -> None:
    (record,) = snapshot(captures=written(tmp_path, ROW), extended=True).connections
    assert record.direction == "unknown"


def test_what_only_the_kernel_can_test_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, ROW)
    with pytest.raises(SourceError) as caught:
        snapshot(captures=path, expression="fwmark = 1")
    assert str(caught.value) == "fwmark = 0x1: only sock_diag can test this, not a capture"


def test_extended_says_that_there_is_nothing_more(tmp_path: Path) -> None:
    shown = snapshot(captures=written(tmp_path, ROW), extended=True)
    (record,) = shown.connections
    assert (record.tcp_info, record.memory, record.options) == (None, None, None)
    assert shown.notes == (
        Note("extended_unsupported", None, "the capture tells no tcp_info, memory and options"),
    )


def test_rows_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    path = written(tmp_path, ROW + WRONG + ROW + WRONG)
    shown = snapshot(captures=path)
    assert len(shown.connections) == 2
    assert shown.notes == (
        Note(
            "rows_skipped",
            2,
            f"2 rows of {path} could not be read, first line 2; --strict shows them",
        ),
    )


def test_several_captures_are_joined(tmp_path: Path) -> None:
    netstat = written(tmp_path, ROW.replace("0      0", "5      7") + LISTENER, "netstat")
    shown = snapshot(captures=[netstat, written(tmp_path, SS, "ss")])
    assert shown.sources == ("gnu-netstat", "ss")
    connected, listener = shown.connections
    assert (connected.recv_q, connected.send_q) == (5, 7)
    assert (connected.pid, connected.process, connected.inode) == (812, "nginx", 31337)
    assert (listener.state, listener.owner_status) == ("LISTEN", "unsupported")


def test_netstat_and_lsof_of_a_mac_are_joined() -> None:
    folder = Path(__file__).parent / "roots" / "macos-26" / "output"
    alone = snapshot(captures=str(folder / "tcp-v-l"))
    shown = snapshot(captures=[str(folder / "tcp-v-l"), str(folder / "lsof")])
    assert shown.sources == ("macos-netstat", "lsof-fields")
    held = {c.local_port: [(o.pid, o.process, o.fd) for o in c.owners] for c in shown.connections}
    assert held[80] == [(501, "nginx", 6), (502, "nginx", 6)]
    assert held[8021] == [(1, "launchd", 9)]
    assert held[50200] == [(2086, "Antigravity IDE Helper", 31)]
    of_tcp = [c for c in shown.connections if c.protocol == "tcp"]
    assert len(of_tcp) == len(alone.connections)


def test_netstat_and_sockstat_of_freebsd_are_joined() -> None:
    folder = Path(__file__).parent / "roots" / "freebsd14" / "answers"
    alone = snapshot(captures=str(folder / "netstat-wide"), protocols=["tcp"])
    paths = [str(folder / "netstat-wide"), str(folder / "sockstat")]
    shown = snapshot(captures=paths, protocols=["tcp"])
    assert len(shown.connections) == len(alone.connections)
    assert {c.owner_status for c in alone.connections} == {"unsupported"}
    assert any(c.owners for c in shown.connections)


def test_a_summary_counts_what_is_there_and_nothing_else(tmp_path: Path) -> None:
    from netinspect.api import Listing

    captures = Captures([written(tmp_path, ROW * 3 + LISTENER)])
    summary = summarize(Listing(select(tables=EVERY_TABLE), captures=captures))
    counts = {(row.protocol, row.family, row.state): row.count for row in summary.counts}
    assert {(protocol, family) for protocol, family, _ in counts} == {("tcp", "ipv4")}
    assert counts["tcp", "ipv4", "ESTABLISHED"] == 3
    assert counts["tcp", "ipv4", "TIME_WAIT"] == 0
    assert summary.total == 4


def test_groups_ask_this_machine_for_nothing(tmp_path: Path) -> None:
    row = SS.replace("pid=812", f"pid={os.getpid()}")
    captures = Captures([written(tmp_path, row)])
    groups = group(
        Listing(select(tables=EVERY_TABLE), captures=captures), parse_grouping(["process", "unit"])
    )
    ((only,),) = (groups.groups,)
    assert (only.process, only.unit, only.count) == ("nginx", None, 1)
    found = snapshot(captures=written(tmp_path, row))
    (only,) = group_by(found.connections, "process", "unit")
    assert (only.process, only.unit, only.count) == ("nginx", None, 1)
    (owner,) = found.connections[0].owners
    assert (owner.pid, owner.unit, owner.command_line) == (os.getpid(), None, None)


def test_groups_by_what_a_capture_tells_of_its_owners(tmp_path: Path) -> None:
    owner = Owner(812, "nginx", 3, unit="nginx.service")
    connection = made(owners=(owner,), pid=812, process="nginx")
    document = Snapshot(**asdict(ENVELOPE), connections=(connection,), notes=())
    captures = Captures([written(tmp_path, msgspec.json.encode(document))])
    listing = Listing(select(tables=EVERY_TABLE), captures=captures)
    (only,) = group(listing, parse_grouping(["unit"])).groups
    assert only.unit == "nginx.service"


def test_a_list_of_captures_is_not_empty() -> None:
    with pytest.raises(UsageError, match="captures: expected a file"):
        snapshot(captures=[])


def test_the_processes_of_this_machine_are_not_asked(tmp_path: Path) -> None:
    row = SS.replace("pid=812", f"pid={os.getpid()}")
    (record,) = snapshot(captures=written(tmp_path, row), extended=True).connections
    assert record.owners[0].pid == os.getpid()
    assert not isinstance(record.owners[0].command_line, tuple)


def test_a_document_of_ours_says_where_it_was_made(tmp_path: Path) -> None:
    command = [*PROGRAM, "--json", "--proto", "tcp"]
    out = subprocess.run(command, capture_output=True, check=True).stdout
    capture = Capture(written(tmp_path, out))
    assert capture.name == "netinspect-json"
    assert capture.origin != Origin()
    assert capture.origin.platform == "linux"


def test_a_broken_document_says_which_file_it_is(tmp_path: Path) -> None:
    path = written(tmp_path, '{\n "schema_version": 1,\n "connections": [\n')
    with pytest.raises(ParseError) as caught:
        snapshot(captures=path)
    assert str(caught.value) == (
        f"{path}: expected the JSON of a listing: Input data was truncated"
    )


def test_tail_of_several_files_of_proc(tmp_path: Path) -> None:
    names = ("tcp", "tcp6", "udp", "raw", "icmp", "udplite6", "unix")
    out = subprocess.run(
        ["tail", "-n", "+1", *(f"/proc/self/net/{name}" for name in names)],
        capture_output=True,
        check=False,
    ).stdout
    shown = snapshot(captures=written(tmp_path, out))
    assert (shown.sources, shown.notes) == (("proc",), ())


PROC = (
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
    "inode ref pointer drops\n"
    "  321: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 "
    "31337 2 0000000000000000 4\n"
)


@pytest.mark.parametrize(
    ("title", "named", "protocol"),
    [
        ("", "auto", "udp"),
        ("", "proc-udplite", "udplite"),
        ("", "proc-raw", "raw"),
        ("", "proc-icmp", "icmp"),
        ("==> /proc/net/raw <==\n", "auto", "raw"),
        ("==> udplite <==\n", "auto", "udplite"),
    ],
)
def test_files_of_proc_that_look_alike(
    tmp_path: Path, title: str, named: str, protocol: str
) -> None:
    (record,) = snapshot(
        captures=written(tmp_path, title + PROC), capture_formats=named
    ).connections
    assert (record.protocol, record.local_address, record.drops) == (protocol, "127.0.0.1", 4)
    assert (record.uid, record.user, record.inode) == (1000, None, 31337)
    assert record.owner_status == "unsupported"


def test_rows_of_proc_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    unix = "Num       RefCount Protocol Flags    Type St Inode Path\nwhat\n0000000000000001: 0 0\n"
    capture = Capture(written(tmp_path, f"{PROC}what\n{unix}"))
    assert len([record for batch in capture.batches() for record in batch]) == 1
    assert [(f.line, f.text, f.expected) for f in capture.faults.kept] == [
        (3, "what", "a row of /proc/net/udp"),
        (5, "what", "a row of /proc/net/unix"),
        (6, "0000000000000001: 0 0", "a row of /proc/net/unix"),
    ]


def test_a_row_of_proc_unix_behind_one_without_a_path_is_no_part_of_it(tmp_path: Path) -> None:
    row = "0000000000000001: 00000002 00000000 00000000 0001 01 71"
    unix = f"Num       RefCount Protocol Flags    Type St Inode Path\n{row}\nwhat\n{row} /a\nb\n"
    capture = Capture(written(tmp_path, unix))
    paths = [record.local_address for batch in capture.batches() for record in batch]
    assert paths == [None, "/a\nb"]
    assert [(f.line, f.text) for f in capture.faults.kept] == [(3, "what")]


def test_all_protocols_are_all_that_are_in_the_capture(tmp_path: Path) -> None:
    header = "Netid State  Recv-Q Send-Q Local Address:Port Peer Address:Port\n"
    path = written(tmp_path, f"{header}nl UNCONN 0 0 0:1 *\ntcp LISTEN 0 5 0.0.0.0:80 0.0.0.0:*\n")
    for protocols in (None, ["all"], ["tcp", "ALL"]):
        found = snapshot(captures=[path], protocols=protocols).connections
        assert [c.protocol for c in found] == ["netlink", "tcp"]
    found = snapshot(captures=[path], protocols=["all"], families=["ipv4"]).connections
    assert [c.protocol for c in found] == ["tcp"]
    with pytest.raises(UsageError, match="unknown protocol 'x'"):
        snapshot(captures=[path], protocols=["all", "x"])


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"processes": ["x"]}, ["processes"]),
        ({"pids": [3]}, ["processes"]),
        ({"users": ["root"]}, ["users"]),
        ({"expression": "process = x"}, ["processes"]),
        ({"processes": ["x"], "users": ["root"]}, ["processes", "users"]),
        ({"states": ["listen"]}, []),
    ],
)
def test_a_filter_on_what_the_capture_does_not_tell(
    tmp_path: Path, options: dict[str, Any], what: list[str]
) -> None:
    rows = "LISTEN 0 5 0.0.0.0:80 0.0.0.0:*\nTIME-WAIT 0 0 10.0.0.1:80 10.0.0.2:9\n"
    silent = written(tmp_path, rows)
    found = snapshot(captures=[silent], **options)
    messages = [f"the capture tells no {name}, and you ask for some" for name in what]
    assert [n.message for n in found.notes if n.code == "filter_untold"] == messages
    lsof = "COMMAND PID USER FD TYPE DEVICE SIZE/OFF NODE NAME\nx 1 root 3u IPv4 7 0t0 TCP *:80\n"
    telling = written(tmp_path, lsof, "lsof")
    assert "filter_untold" not in {n.code for n in snapshot(captures=[telling], **options).notes}
