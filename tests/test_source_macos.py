"""The sockets of a Mac, read here: netstat, lsof and sysctl of each release as real programs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec import json as msgspec_json

from netinspect import snapshot
from netinspect.model import Connection, Note, Owner, Snapshot, Table
from netinspect.query import Query
from netinspect.settings import Settings
from netinspect.sources.macos import MacOS
from netinspect.sources.platforms import PLATFORM_VARIABLE, ROOT_VARIABLE
from netinspect.sources.settings import read_counters, read_settings
from netinspect.sources.sysctl import read_sysctls
from tests.macos_roots import BY_NAME, QUEUES, RELEASES, UDP, UNIX, Release, files, root_of, tcp_of
from tests.program import Done, environment, run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a Unix: sh")
NEWEST = BY_NAME["26"]
TRY_IT = "run it by hand to see why"


@pytest.fixture(autouse=True)
def _a_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PLATFORM_VARIABLE, "darwin")
    monkeypatch.setenv(ROOT_VARIABLE, str(root_of(NEWEST)))
    monkeypatch.setenv("FAKE_UID", "0")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the newest Mac, to break something in it."""
    shutil.copytree(root_of(NEWEST), tmp_path / "mac")
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "mac"))
    return tmp_path / "mac"


def replace_program(root: Path, name: str, script: str) -> None:
    (root / "usr/sbin" / name).write_text(f"#!/bin/sh\n{script}\n")


def use(release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(root_of(release)))


def by_place(
    connections: tuple[Connection, ...],
) -> dict[tuple[str | None, int | None], Connection]:
    return {(c.local_address, c.local_port): c for c in connections}


@pytest.mark.parametrize("release", RELEASES, ids=lambda r: r.name)
def test_the_folders_are_up_to_date(release: Release) -> None:
    """If not: python -m tests.macos_roots"""
    found = {
        str(path.relative_to(root_of(release))): path.read_text(encoding="utf-8")
        for path in root_of(release).rglob("*")
        if path.is_file()
    }
    assert found == files(release)


@pytest.mark.parametrize("release", RELEASES, ids=lambda r: r.name)
def test_every_release(release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    use(release, monkeypatch)
    found = snapshot(protocols=["tcp", "udp", "unix"])
    assert (found.platform, found.sources) == ("darwin", ("macos",))
    assert len(found.connections) == len(tcp_of(release)) + len(UDP) + len(UNIX)
    notes = [(n.code, n.count) for n in found.notes if n.code != "owners_hidden"]  # without root
    assert notes == ([] if release.shows_time_wait else [("time_wait_hidden", 3)])
    listeners = [c for c in found.connections if c.state == "LISTEN" and c.protocol == "tcp"]
    queues = sorted((waiting - unfinished, limit) for waiting, unfinished, limit in QUEUES)
    assert sorted((c.recv_q, c.send_q) for c in listeners) == queues
    time_wait = [c for c in found.connections if c.state == "TIME_WAIT"]
    assert [c.pid for c in time_wait] == ([340] * 3 if release.shows_time_wait else [])


def test_all_releases_tell_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """But names, which netstat has since 26, and what the options say of unix sockets."""

    def told(release: Release) -> list[tuple[object, ...]]:
        use(release, monkeypatch)
        return [
            (c.protocol, c.family, c.state, c.local_address, c.local_port, c.remote_address,
             c.remote_port, c.recv_q, c.send_q, c.pid, c.uid, c.exposure, c.dual_stack)
            for c in snapshot(states=["all"]).connections
            if c.state != "TIME_WAIT"
        ]  # fmt: skip

    newest = told(NEWEST)
    for release in RELEASES:
        assert told(release) == newest


def test_lsof_tells_of_every_holder() -> None:
    found = by_place(snapshot().connections)
    nginx = found["::", 80]
    assert nginx.owners == (Owner(501, "nginx", 6), Owner(502, "nginx", 6))
    assert (nginx.uid, nginx.user, nginx.pid, nginx.dual_stack) == (0, "root", 501, True)
    # An IPv6 socket that carries IPv4 in lsof; netstat had cut the name.
    brave = found["127.0.0.1", 50201]
    assert brave.owners == (Owner(2087, "Brave Browser Helper", 21),)
    assert (brave.family, brave.uid, brave.user) == ("ipv4", 501, "anna")
    assert found["fe80::1%lo0", 8021].owners == (Owner(1, "launchd", 9),)
    # Nobody has a descriptor of these any more.
    gone = found["192.0.2.10", 49160]
    assert (gone.state, gone.owners) == ("TIME_WAIT", (Owner(340, "rapportd", None),))
    ended = found["192.0.2.10", 50205]
    assert (ended.owners, ended.process) == ((Owner(56486, None, None),), None)


def test_without_root_netstat_still_names_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_UID", "501")
    source = MacOS(sees_all=False)
    tables = (Table("tcp", "ipv4"), Table("tcp", "ipv6"))
    query = Query(tables=tables)
    found = [c for t in tables for batch in source.read(t, query) for c in batch.records()]
    placed = by_place(tuple(found))
    assert placed["::", 80].owners == (Owner(501, "nginx", None),)
    assert placed["127.0.0.1", 50200].owners == (Owner(2086, "Antigravity IDE Helper", 31),)
    hidden = len([c for c in found if c.state != "TIME_WAIT"]) - 2
    assert source.notes == [
        Note(
            "owners_hidden",
            hidden,
            f"of {hidden} sockets the descriptors, the user and further holders are hidden: lsof "
            "shows only one's own processes; run as root to see all",
        )
    ]


def test_lsof_is_not_run_where_one_process_is_enough(root: Path) -> None:
    replace_program(root, "lsof", "echo lsof was run >&2; exit 3")
    for args in ([], ["summary", "--by", "process"]):
        done = run_as(root, *args)
        assert (done.status, done.err) == (0, "")
    done = run_as(root, "time-wait")
    assert "rapportd(340)" in done.out
    assert [line for line in done.err.splitlines() if "lsof" in line or "bound" in line] == []
    for args in (["--json"], ["--user", "anna"], ["--process", "nginx"]):
        done = run_as(root, *args)
        assert done.status == 0
        assert done.err.splitlines()[0] == (
            "netinspect: descriptors, users and further holders are not known: "
            f"{root}/usr/sbin/lsof -nP -w -i -F pcuLftdPnT0: exit status 3: lsof was run; "
            f"{TRY_IT}"
        )


def run_as(root: Path, *args: str, **changes: str) -> Done:
    env = environment(**{PLATFORM_VARIABLE: "darwin", ROOT_VARIABLE: str(root), **changes})
    return run(*args, env=env)


def test_processes_and_users_of_another_system_are_not_missed_here() -> None:
    done = run_as(root_of(NEWEST), "--pid", "99999", "--user", "nobody-here", FAKE_UID="0")
    assert done.status == 0
    assert "there is no" not in done.err


def test_extended_asks_for_every_holder() -> None:
    done = run_as(root_of(NEWEST), "-e", "--lport", "80", FAKE_UID="0")
    assert "nginx(pid=502,fd=6)" in done.out
    assert "netinspect: macos tells no tcp_info, memory and options" in done.err.splitlines()


def test_names_in_full() -> None:
    names = {
        2087: b"Brave Browser Helper (Renderer)",
        2086: b"another",
        340: b"not asked",
        56486: b"not that which has ended",
    }
    source = MacOS(names.get, sees_all=True)
    table = Table("tcp", "ipv4")
    query = Query(tables=(table,), needs_holders=False)
    (batch,) = source.read(table, query)
    placed = by_place(tuple(batch.records()))
    assert placed["127.0.0.1", 50201].process == "Brave Browser Helper (Renderer)"
    assert placed["127.0.0.1", 50200].process == "Antigravity IDE "  # that number is another's now
    assert placed["192.0.2.10", 49154].process == "rapportd"
    assert placed["192.0.2.10", 50205].process is None


def test_names_where_netstat_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    use(BY_NAME["15.4"], monkeypatch)
    table = Table("tcp", "ipv6")
    query = Query(tables=(table,), needs_holders=False)
    (batch,) = MacOS({501: b"nginx"}.get, sees_all=True).read(table, query)
    placed = by_place(tuple(batch.records()))
    assert (placed["::", 80].process, placed["::1", 631].process) == ("nginx", None)
    assert placed["::", 80].owners == (Owner(501, "nginx", None),)


def test_unix_sockets() -> None:
    found = snapshot(protocols=["unix"]).connections
    assert [(c.state, c.pid) for c in found] == [
        ("LISTEN", 141),
        ("ESTABLISHED", 340),
        ("ESTABLISHED", 340),
        ("UNCONN", 1),
        ("UNCONN", 340),
        ("UNCONN", 340),
    ]


def test_a_protocol_that_netstat_is_not_asked_for() -> None:
    done = run_as(root_of(NEWEST), "--proto", "raw", "--source", "macos")
    assert (done.status, done.out) == (3, "")
    assert done.err == "netinspect: macos has no raw sockets\n"


@pytest.mark.parametrize("release", [BY_NAME["10.11"], NEWEST], ids=lambda r: r.name)
def test_time_wait_in_a_summary(release: Release) -> None:
    done = run_as(root_of(release), "summary", "--json")
    document = json.loads(done.out)
    count = sum(row["count"] for row in document["counts"] if row["state"] == "TIME_WAIT")
    assert count == (3 if release.shows_time_wait else 0)
    assert done.err == (
        ""
        if release.shows_time_wait
        else "netinspect: 3 sockets in TIME_WAIT not shown: before macOS 10.12 netstat has no rows "
        "of them (sysctl net.inet.tcp.tw_pcbcount counts them)\n"
    )


def test_hidden_time_wait_is_only_told_of_where_it_was_asked_for() -> None:
    done = run_as(root_of(BY_NAME["10.11"]), "-s", "established,listen")
    assert (done.status, done.err) == (0, "")


# -- what can go wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 1", "exit status 1"),
        ("echo 'netstat: sysctl: net.inet.tcp.pcblist_n: not permitted' >&2",
         "exit status 0: netstat: sysctl: net.inet.tcp.pcblist_n: not permitted"),
        ("kill -9 $$", "killed by SIGKILL"),
        ("echo tcp4; kill -9 $$", "killed by SIGKILL"),
    ],
    ids=["status", "an error with status 0", "killed", "killed in between"],
)  # fmt: skip
def test_a_netstat_that_fails(root: Path, script: str, said: str) -> None:
    replace_program(root, "netstat", f"case $* in *L*) exit 0;; esac; {script}")
    done = run_as(root, "--source", "macos", "-o", "csv")
    assert (done.status, done.out) == (3, "")
    assert done.err == (f"netinspect: {root}/usr/sbin/netstat -anvl -p tcp: {said}; {TRY_IT}\n")
    fallback = run_as(root, "--proto", "tcp", "-o", "csv")
    if os.geteuid() == 0:
        assert fallback.status == 0
        assert fallback.err.splitlines()[0] == (
            f"netinspect: {root}/usr/sbin/netstat -anvl -p tcp: {said}; {TRY_IT}; read from psutil "
            "instead, which tells less"
        )


def test_no_netstat(root: Path) -> None:
    (root / "usr/sbin/netstat").unlink()
    done = run_as(root, "--source", "macos")
    assert (done.status, done.out) == (3, "")
    assert done.err == (
        f"netinspect: {root}/usr/sbin/netstat: no such program (it is part of the system; "
        "--source psutil does without it)\n"
    )


def test_netstat_is_asked_no_more_after_it_failed(root: Path) -> None:
    count = root / "count"
    replace_program(root, "netstat", f"echo x >> {count}; exit 1")
    assert run_as(root, "--source", "macos").status == 3
    assert count.read_text() == "x\n" * 2  # for the queues, and for the sockets


def test_netstat_prints_nothing_where_there_is_nothing(root: Path) -> None:
    replace_program(root, "netstat", ":")
    (root / "output/sysctl").write_text("net.inet.tcp.pcbcount: 0\nnet.inet.udp.pcbcount: 0\n")
    done = run_as(root, "--json", "--source", "macos")
    assert (done.status, done.err) == (0, "")
    assert json.loads(done.out)["connections"] == []


def test_netstat_prints_nothing_though_there_are_sockets(root: Path) -> None:
    replace_program(root, "netstat", ":")
    done = run_as(root, "--source", "macos")
    assert (done.status, done.out) == (3, "")
    assert done.err == (
        f"netinspect: {root}/usr/sbin/netstat -anvl -p tcp: printed nothing, but "
        f"net.inet.tcp.pcbcount is 40; {TRY_IT}\n"
    )


def test_netstat_prints_what_is_no_row(root: Path) -> None:
    replace_program(root, "netstat", "echo usage: netstat")
    done = run_as(root, "--source", "macos")
    assert (done.status, done.out) == (3, "")
    assert done.err == (
        f"netinspect: {root}/usr/sbin/netstat -anvl -p tcp: printed no row that can be read; "
        f"{TRY_IT}\n"
    )


def test_a_complaint_beside_the_rows(root: Path) -> None:
    netstat = (root / "usr/sbin/netstat").read_text().partition("\n")[2]
    replace_program(root, "netstat", f"echo 'netstat: odd' >&2\n{netstat}")
    done = run_as(root, "--proto", "tcp")
    assert (done.status, done.err) == (0, "netinspect: netstat complained: netstat: odd\n")


def test_queues_that_are_not_told(root: Path) -> None:
    netstat = (root / "usr/sbin/netstat").read_text().partition("\n")[2]
    replace_program(root, "netstat", f"case $* in *L*) exit 3;; esac\n{netstat}")
    done = run_as(root, "-l", "--proto", "tcp", "-o", "csv", "--columns", "recv_q,send_q")
    assert done.out == "recv_q,send_q\r\n" + ",\r\n" * 4
    assert done.err == (
        "netinspect: the queues of listeners are not known: "
        f"{root}/usr/sbin/netstat -anLl: exit status 3; {TRY_IT}\n"
    )


def test_rows_that_cannot_be_read(root: Path) -> None:
    with open(root / "output/tcp-v-l", "a", encoding="utf-8") as file:
        file.write("tcp4 what is this\n")
    done = run_as(root, "-q")
    assert (done.status, done.err) == (0, "")
    done = run_as(root, "--proto", "tcp")
    assert (done.status, done.err) == (0, "netinspect: 1 row of netstat could not be read\n")


def test_an_lsof_that_shows_nothing(root: Path) -> None:
    replace_program(root, "lsof", "exit 1")
    found = json.loads(run_as(root, "--json", "-l", "--proto", "tcp").out)
    assert [c["owners"][0]["fd"] for c in found["connections"]] == [None] * 4


def test_rows_of_lsof_that_cannot_be_read(root: Path) -> None:
    replace_program(root, "lsof", "echo p1; echo f3; echo tIPv4; echo PTCP; echo nwhat")
    done = run_as(root, "-l", "--proto", "tcp", "--json")
    assert done.err == "netinspect: 1 row of /usr/sbin/lsof could not be read\n"


# -- the imitations fail as the real programs do -------------------------------------------------


@pytest.mark.parametrize(
    ("release", "args", "status", "said"),
    [
        ("26", ["-anp"], 1, "netstat: option requires an argument -- p"),
        ("26.3", ["-anp"], 64, "netstat: option requires an argument -- p"),
        ("26", ["-tulpn"], 1, "netstat: n: unknown or uninstrumented protocol"),
        ("26", ["-y"], 1, "netstat: illegal option -- y"),
    ],
)
def test_netstat_refuses_wrong_flags(release: str, args: list[str], status: int, said: str) -> None:
    netstat = root_of(BY_NAME[release]) / "usr/sbin/netstat"
    done = subprocess.run([netstat, *args], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.splitlines()[0]) == (status, "", said)


# -- settings ------------------------------------------------------------------------------------


def test_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings() == Settings(
        ephemeral_range=(49152, 65535), time_wait_seconds=30, is_port_taken_everywhere=True
    )
    assert read_counters() == {}
    monkeypatch.setenv(ROOT_VARIABLE, "/nonexistent")
    assert read_settings() == Settings(is_port_taken_everywhere=True)


def test_a_setting_that_a_release_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("net.inet.tcp.tw_pcbcount", "net.inet.tcp.msl")
    assert read_sysctls(*names) == {"net.inet.tcp.msl": "15000"}
    use(BY_NAME["14"], monkeypatch)
    assert read_sysctls(*names).number(names[0]) == 3


# -- one record everywhere -----------------------------------------------------------------------


OPTIONAL = {"tcp_info", "memory", "options", "direction", "dual_stack"}


@pytest.mark.parametrize("release", RELEASES, ids=lambda r: r.name)
def test_the_keys_are_those_of_every_system(
    release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(release, monkeypatch)
    protocols = ["tcp", "udp", "unix"]
    for is_extended in (False, True):
        document = msgspec_json.encode(snapshot(protocols=protocols, extended=is_extended))
        assert len(msgspec_json.decode(document, type=Snapshot).connections) > 40
        keys = {frozenset(c) - {"dual_stack"} for c in json.loads(document)["connections"]}
        added = OPTIONAL - {"dual_stack"} if is_extended else set()
        assert keys == {frozenset(set(Connection.__struct_fields__) - OPTIONAL | added)}


def test_the_whole_program() -> None:
    done = run_as(root_of(NEWEST), "--json", "--no-owners", "--proto", "tcp,udp,unix")
    assert (done.status, done.err) == (0, "")
    document = json.loads(done.out)
    assert (document["platform"], document["sources"]) == ("darwin", ["macos"])
    assert len(document["connections"]) == len(tcp_of(NEWEST)) + len(UDP) + len(UNIX)
