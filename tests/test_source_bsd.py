"""The BSDs as if this were one of them: real processes of fake programs, in tests/roots."""

from __future__ import annotations

import json
import shutil
import socket
import stat
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from netinspect import snapshot
from netinspect.errors import RefusedError
from netinspect.model import Connection, Owner, Table
from netinspect.parse.holders import attach_holders
from netinspect.query import Query
from netinspect.settings import Settings
from netinspect.sources.bsd import SYSTEMS, Bsd
from netinspect.sources.commands import Command
from netinspect.sources.fallback import LIMITS
from netinspect.sources.platforms import PLATFORM_VARIABLE, ROOT_VARIABLE
from netinspect.sources.settings import read_settings
from tests import bsd_sockets
from tests.bsd_sockets import ANSWERS, CURL, INET, NGINX, NOBODYS, ROOTS, SSHD, WORKER, Inet
from tests.program import Done, environment, run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a Unix: sh")
PLATFORMS = ("freebsd12", "freebsd14", "freebsd15", "openbsd7", "netbsd10")
TCP = tuple(Table("tcp", family) for family in ("ipv4", "ipv6"))
UDP = tuple(Table("udp", family) for family in ("ipv4", "ipv6"))
UNIX = Table("unix", "unix")
ALL = ["tcp", "udp", "raw", "unix"]
HANGS = "exec sleep 60"


def on(root: Path | str, *args: str) -> Done:
    """The program as on the system whose root this is."""
    folder = ROOTS / root
    variables = {PLATFORM_VARIABLE: folder.name, ROOT_VARIABLE: str(folder)}
    return run(*args, env=environment(**variables))


def document(root: Path | str, **options: Any) -> dict[str, Any]:
    """What `--json` prints there."""
    folder = ROOTS / root
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PLATFORM_VARIABLE, folder.name)
        patch.setenv(ROOT_VARIABLE, str(folder))
        parsed: dict[str, Any] = json.loads(msgspec.json.encode(snapshot(**options)))
    return parsed


@pytest.fixture
def fake(tmp_path: Path) -> Path:
    """A FreeBSD of the test's own, to break."""
    (tmp_path / "freebsd15").mkdir()
    root = tmp_path / "freebsd15"
    shutil.copytree(ROOTS / "freebsd15", root, dirs_exist_ok=True)
    for program in ("netstat", "sockstat"):
        shutil.copy(ROOTS / f"freebsd-{program}.sh", tmp_path)
    return root


def replace_program(root: Path, name: str, script: str) -> None:
    """What the program does instead; the real one's answers are in $answers."""
    path = root / "usr/bin" / name
    path.write_text(f"#!/bin/sh\nanswers={root}/answers\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def source(root: Path, name: str = "freebsd", **options: Any) -> Bsd:
    command = partial(Command, root=str(root), silence_s=options.pop("silence_s", 10))
    return Bsd(name, options.pop("process_name", lambda _pid: None), run=command)


def read(bsd: Bsd, *tables: Table, **options: Any) -> list[Connection]:
    query = Query(tables=tables, **options)
    return [c for table in tables for batch in bsd.read(table, query) for c in batch.records()]


def notes(bsd: Bsd) -> dict[str, str]:
    return {note.code: note.message for note in bsd.notes}


@pytest.mark.parametrize("root", PLATFORMS)
def test_all_sockets_with_their_holders(root: str) -> None:
    found = document(root, protocols=ALL)
    name = root.rstrip("0123456789")
    assert (found["platform"], found["sources"], found["notes"]) == (root, [name], [])
    told = sorted(
        (
            *(c["protocol"], c["family"], c["state"], c["local_port"], c["remote_port"]),
            *(c["user"], c["pid"], sorted((o["pid"], o["fd"]) for o in c["owners"])),
            c["owner_status"],
        )
        for c in found["connections"]
        if c["protocol"] in ("tcp", "udp")
    )
    sockets = [s for s in INET if s.protocol != "raw"]
    if name == "freebsd":
        sockets.append(bsd_sockets.DUAL)
    assert told == sorted(map(expected, sockets))


def expected(sock: Inet) -> tuple[object, ...]:
    holders = sorted(sock.holders, key=lambda h: h.pid)
    return (
        sock.protocol,
        "ipv6" if "6" in sock.family else "ipv4",
        state_of(sock),
        sock.local[1],
        sock.remote[1] or None,
        holders[0].user if holders else None,
        holders[0].pid if holders else None,
        [(h.pid, h.fd) for h in holders],
        "known" if holders else "none" if sock.state in NOBODYS else "not_found",
    )


def state_of(sock: Inet) -> str:
    if sock.protocol == "udp":
        return "ESTABLISHED" if sock.remote[1] else "UNCONN"
    if sock.state == "CLOSED":
        return "BOUND" if sock.local[1] else "CLOSE"
    return sock.state.replace("RCVD", "RECV").replace("WAIT_1", "WAIT1").replace("WAIT_2", "WAIT2")


@pytest.mark.parametrize("root", PLATFORMS)
def test_queues_are_bytes_and_of_listeners_connections_where_they_are_told(root: str) -> None:
    found = document(root, protocols="tcp4")["connections"]
    (shut,) = [c for c in found if c["state"] == "LAST_ACK"]
    assert (shut["recv_q"], shut["send_q"]) == (9, 18)
    (ssh,) = [c for c in found if c["local_port"] == 22]
    told = (2, 128) if root.startswith("freebsd") else (None, None)
    assert (ssh["recv_q"], ssh["send_q"]) == told


@pytest.mark.parametrize("root", PLATFORMS)
def test_unix_sockets(root: str) -> None:
    found = document(root, protocols="unix")["connections"]
    by_name = {c["local_address"]: c for c in found if c["local_address"]}
    tells_listeners = root.startswith("freebsd")
    assert {name: c["state"] for name, c in by_name.items()} == {
        "/var/run/devd.pipe": "LISTEN" if tells_listeners else "UNKNOWN",
        "/var/run/bound only": "UNCONN" if tells_listeners else "UNKNOWN",
        "/var/run/log": "UNCONN",
    }
    assert by_name["/var/run/devd.pipe"]["process"] == "devd"
    assert by_name["/var/run/log"]["pid"] == 512
    assert [c["remote_address"] for c in found if c["type"] == "dgram"].count("/var/run/log") == 1
    unnamed = {c["owner_status"] for c in found if not c["local_address"]}
    assert unnamed == ({"known", "unsupported"} if root == "openbsd7" else {"unsupported"})


def test_one_listener_for_both_families() -> None:
    found = document("freebsd15", protocols="tcp6", listening=True)["connections"]
    told = {c["local_port"]: c.get("dual_stack") for c in found}
    assert told == {22: False, 80: None, 8080: True}


def test_the_same_keys_as_everywhere() -> None:
    with socket.create_server(("127.0.0.1", 0)):
        here = snapshot(protocols="tcp4", source="psutil").connections[0]
    keys = set(json.loads(msgspec.json.encode(here)))
    for root in PLATFORMS:
        for connection in document(root, protocols=ALL)["connections"]:
            assert set(connection) - {"dual_stack"} == keys


def test_summaries() -> None:
    done = on("openbsd7", "summary", "--json")
    assert json.loads(done.out)["total"] == len([s for s in INET if s.protocol != "raw"])
    done = on("freebsd14", "summary", "--by", "process", "-o", "csv", "--top", "2")
    counts = [line.split(",")[:3] for line in done.out.splitlines()[1:]]
    assert counts == [["c u:rl 1 2", "known", "9"], ["sshd", "known", "4"]]


def test_filters_and_expressions_work_there() -> None:
    expression = "state time-wait or dport = :443"
    found = document("netbsd10", users=["alice"], expression=expression)
    assert {c["process"] for c in found["connections"]} == {CURL.command}
    assert len(document("freebsd15", processes=["sshd"], listening=True)["connections"]) == 2
    assert len(document("freebsd15", owners=False, users=["root"])["connections"]) == 6


def test_what_this_system_does_not_have_is_said() -> None:
    done = on("netbsd10", "--proto", "udplite,udp")
    assert done.status == 0
    assert done.err == (
        "netinspect: no udplite sockets can be read here: no udplite sockets are read on NetBSD\n"
    )


def test_nobody_asks_for_holders_that_nobody_wants(fake: Path) -> None:
    replace_program(fake, "sockstat", HANGS)
    found = document(fake, owners=False)
    assert {c["owner_status"] for c in found["connections"]} == {"not_requested"}
    assert found["notes"] == []
    assert on(fake, "summary").err == ""


def test_a_system_by_the_name_of_its_source() -> None:
    root = str(ROOTS / "openbsd7")
    done = run("--source", "openbsd", "--json", env=environment(NETINSPECT_ROOT=root))
    assert json.loads(done.out)["sources"] == ["openbsd"]


# What fails


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (None, "no such program (it is part of the system; --source psutil does without it)"),
        ("exit 0", "printed nothing; run it by hand to see why"),
        ("echo help", "printed no row that can be read; run it by hand to see why"),
        (
            "echo 'netstat: sysctl: permission denied' >&2",
            "exit status 0: netstat: sysctl: permission denied; run it by hand to see why",
        ),
        (
            "echo 'usage: netstat' >&2; exit 1",
            "exit status 1: usage: netstat; run it by hand to see why",
        ),
        ("kill -9 $$", "killed by SIGKILL; run it by hand to see why"),
        ("cat $answers/netstat-json; kill -6 $$", "killed by SIGABRT; run it by hand to see why"),
    ],
)
def test_psutil_is_asked_where_netstat_fails(fake: Path, script: str | None, said: str) -> None:
    if script is None:
        (fake / "usr/bin/netstat").unlink()
    else:
        replace_program(fake, "netstat", script)
    found = document(fake)
    assert found["sources"] == ["psutil"]
    first, limits = found["notes"]
    assert first["code"] == "source_fallback"
    assert first["message"].startswith(f"{fake}/usr/bin/netstat")
    assert first["message"].endswith(f": {said}; read from psutil instead, which tells less")
    assert limits["message"] == LIMITS.message
    refused = on(fake, "--source", "freebsd")
    assert (refused.status, refused.out) == (3, "")
    assert refused.err.endswith(f": {said}\n")


def test_a_netstat_that_hangs(fake: Path) -> None:
    replace_program(fake, "netstat", HANGS)
    with pytest.raises(RefusedError) as caught:
        read(source(fake, silence_s=0.2), *TCP)
    assert str(caught.value) == (
        f"{fake}/usr/bin/netstat --libxo json -anW: silent for 0.2 seconds, ended; run it by hand "
        "to see why"
    )


def test_json_that_is_none_is_replaced_by_text(fake: Path) -> None:
    """What libxo writes when sockets come or go meanwhile."""
    broken = (
        'case "$*" in *json*) echo \'{"statistics": {"socket": [{}, "type": "stream"\'; exit;; esac'
    )
    replace_program(fake, "netstat", f'{broken}\n. "{fake.parent}/freebsd-netstat.sh"')
    bsd = source(fake)
    assert read(bsd, *TCP, *UDP, UNIX) == read(source(ROOTS / "freebsd15"), *TCP, *UDP, UNIX)
    assert notes(bsd) == {}


@pytest.mark.parametrize(
    ("name", "program"), [("freebsd", "sockstat"), ("openbsd", "fstat"), ("netbsd", "sockstat")]
)
def test_without_holders_the_sockets_are_shown_all_the_same(
    tmp_path: Path, name: str, program: str
) -> None:
    (root,) = (r for r in ("freebsd15", "openbsd7", "netbsd10") if r.startswith(name))
    answers = ROOTS / root / "answers"
    (tmp_path / "usr/bin").mkdir(parents=True)
    replace_program(tmp_path, "netstat", f"answers={answers}; . {ROOTS}/{name}-netstat.sh")
    bsd = source(tmp_path, name)
    sockets = read(bsd, *TCP)
    assert len(sockets) == len([s for s in INET if s.protocol == "tcp"]) + (name == "freebsd")
    assert {(c.owners, c.owner_status) for c in sockets} == {((), "unsupported")}
    assert notes(bsd) == {
        "owners_unknown": f"processes and users are not known: {tmp_path}/usr/bin/{program}: no "
        "such program (it is part of the system; --source psutil does without it)"
    }


def test_without_queues_the_listeners_are_shown_all_the_same(fake: Path) -> None:
    fails = 'case "$*" in *L*) echo "netstat: kvm not available" >&2; exit 1;; esac'
    replace_program(fake, "netstat", f'{fails}\n. "{fake.parent}/freebsd-netstat.sh"')
    bsd = source(fake)
    listeners = [c for c in read(bsd, *TCP) if c.state == "LISTEN"]
    assert {(c.recv_q, c.send_q) for c in listeners} == {(None, None)}
    assert notes(bsd) == {
        "queues_unknown": f"the queues of listeners are not known: {fake}/usr/bin/netstat -anLW: "
        "exit status 1: netstat: kvm not available; run it by hand to see why"
    }


def test_what_cannot_be_read_is_counted(fake: Path) -> None:
    text = ANSWERS["freebsd15"]["netstat-json"].replace('"SYN_SENT   "', '"SINGING    "')
    (fake / "answers/netstat-json").write_text(text)
    with (fake / "answers/sockstat").open("a") as file:
        file.write("garbage\ngarbage\n")
    bsd = source(fake)
    assert len(read(bsd, *TCP)) == len([s for s in INET if s.protocol == "tcp"])
    assert notes(bsd) == {
        "rows_skipped": "1 row of netstat could not be read",
        "owners_skipped": "2 rows of /usr/bin/sockstat could not be read",
    }


def test_a_complaint_beside_the_sockets_is_said(fake: Path) -> None:
    complain = 'echo "netstat: sysctl: net.inet.sctp.assoclist: No such file" >&2'
    replace_program(fake, "netstat", f'{complain}\n. "{fake.parent}/freebsd-netstat.sh"')
    bsd = source(fake)
    assert read(bsd, *TCP)
    assert notes(bsd) == {
        "netstat_complaint": "netstat complained: netstat: sysctl: net.inet.sctp.assoclist: No "
        "such file"
    }


def test_a_wrong_option_fails_as_on_the_real_system() -> None:
    for root, program, option in (
        ("freebsd15", "netstat", "-v"),
        ("freebsd15", "sockstat", "-x"),
        ("openbsd7", "netstat", "-W"),
        ("openbsd7", "fstat", "-a"),
        ("netbsd10", "netstat", "-x"),
        ("netbsd10", "sockstat", "-w"),
    ):
        with pytest.raises(RefusedError) as caught:
            list(Command(f"/usr/bin/{program}", option, root=str(ROOTS / root)))
        assert "exit status 1: " in str(caught.value)


def test_names_that_sockstat_has_cut_are_looked_up() -> None:
    names = {NGINX.pid: b"nginx: master process", WORKER.pid: b"another program by now"}
    asked = []

    def name(pid: int) -> bytes | None:
        asked.append(pid)
        return names.get(pid)

    sockets = read(source(ROOTS / "freebsd14", process_name=name), *TCP)
    (web,) = [c for c in sockets if c.local_port == 80]
    assert [o.process for o in web.owners] == ["nginx: master process", "nginx: wor"]
    assert web.process == "nginx: master process"
    assert SSHD.pid not in asked


def test_each_question_is_answered_anew() -> None:
    bsd = source(ROOTS / "netbsd10", "netbsd")
    first = read(bsd, *TCP)
    assert read(bsd, *TCP) == first
    assert read(bsd, *UDP) != []


def test_what_nobody_on_a_bsd_has_is_refused() -> None:
    for name, system in SYSTEMS.items():
        with pytest.raises(RefusedError) as caught:
            read(source(ROOTS, name), Table("udplite", "ipv4"))
        assert str(caught.value) == f"no udplite sockets are read on {system.title}"


# Who holds what


def listener(*holders: tuple[int, int], port: int = 53) -> Connection:
    owners = tuple(Owner(pid, f"p{pid}", fd) for pid, fd in holders)
    return Connection(
        "udp",
        "ipv4",
        "dgram",
        "UNCONN",
        "0.0.0.0",
        None,
        port,
        None,
        None,
        None,
        None,
        None,
        None,
        "bind" if owners else None,
        None,
        None,
        owners=owners,
    )


Pids = Callable[[list[Connection]], list[list[int]]]


def pids(connections: list[Connection]) -> list[list[int]]:
    return [[o.pid for o in c.owners] for c in connections]


@pytest.mark.parametrize(
    ("held", "expected_pids"),
    [
        ([], [[], []]),
        ([(1, 3)], [[1], []]),
        ([(1, 3), (2, 3)], [[1], [2]]),
        ([(1, 3), (2, 3), (3, 3)], [[1, 2, 3], [1, 2, 3]]),
    ],
)
def test_sockets_that_look_alike(
    held: list[tuple[int, int]], expected_pids: list[list[int]]
) -> None:
    attached = attach_holders([listener(), listener()], [listener(h) for h in held])
    assert pids(attached) == expected_pids


def test_a_socket_that_several_processes_hold() -> None:
    (attached,) = attach_holders(
        [listener()], [listener((9, 3)), listener((2, 7)), listener((2, 5))]
    )
    assert [(o.pid, o.fd) for o in attached.owners] == [(2, 5), (2, 7), (9, 3)]
    assert (attached.pid, attached.process, attached.user) == (2, "p2", "bind")


def test_descriptors_of_other_sockets_and_of_nobody_change_nothing() -> None:
    alone = listener()
    assert attach_holders([alone], [listener((1, 3), port=54), listener()]) == [alone]


# Settings


FREEBSD = Settings(
    ephemeral_range=(10000, 65535),
    time_wait_seconds=60,
    tcp_max_tw_buckets=12860,
    tcp_timestamps=1,
    tcp_fin_timeout_seconds=60,
    unprivileged_port_start=1024,
    bindv6only=True,
)


@pytest.mark.parametrize(
    ("root", "settings"),
    [
        ("freebsd12", FREEBSD),
        ("freebsd14", replace(FREEBSD, tcp_max_tw_buckets=None)),
        ("freebsd15", replace(FREEBSD, tcp_max_tw_buckets=None)),
        (
            "openbsd7",
            Settings(ephemeral_range=(1024, 49151), is_port_taken_everywhere=True),
        ),
        ("netbsd10", Settings(ephemeral_range=(49152, 65535), bindv6only=True)),
        ("nowhere", Settings()),
    ],
)
def test_settings(root: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PLATFORM_VARIABLE, root if root in PLATFORMS else "freebsd15")
    monkeypatch.setenv(ROOT_VARIABLE, str(ROOTS / root))
    assert read_settings() == settings


# Windows


def test_windows_is_read_with_psutil_and_the_same_keys() -> None:
    done = run("--json", "--limit", "3", env=environment(NETINSPECT_PLATFORM="win32"))
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert (found["platform"], found["sources"]) == ("win32", ["psutil"])
    assert [n["message"] for n in found["notes"]] == [LIMITS.message]
    keys = {key for c in found["connections"] for key in c} - {"dual_stack"}
    bsd = document("freebsd15")["connections"][0]
    assert keys <= set(bsd)
