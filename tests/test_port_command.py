"""`netinspect port` on captures and on what it does not take; the rest is in test_live_port.py."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import msgspec
import pytest

from netinspect.model import Connection, Snapshot
from netinspect.sources.binding import may_take_low_ports
from netinspect.sources.namespaces import other_namespaces
from tests.program import ROOT, Done, environment, run, run_on_terminal
from tests.records import ENVELOPE, made

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: /proc")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("", "missing argument 'PORT...' (see netinspect port --help)"),
        ("0", "port '0': expected 1 to 65535; bind() takes 0 for any free port, so nobody has it"),
        ("65536", "port '65536': expected 0 to 65535, found 65536"),
        ("8010-8000", "port range '8010-8000' is reversed; did you mean 8000-8010?"),
        (
            "1-65535",
            (
                "65535 ports: expected at most 1000; netinspect --lport 1-65535 lists "
                "the sockets of as many as there are"
            ),
        ),
        ("80 --proto icmp", "--proto icmp: expected tcp or udp, which have ports"),
        (
            "80 --addr localhost",
            (
                "address 'localhost': expected one IPv4 or IPv6 address, as 127.0.0.1 or ::1; "
                "names are not looked up"
            ),
        ),
        (
            "80 --proto tcp4,udp4 --addr 127.0.0.1,::1",
            "--addr ::1 is an IPv6 address, and --proto asks for IPv4 alone",
        ),
        ("80 --strict", "--strict is about captured output: name it with --from FILE"),
        (
            "80 -o json --json -o ndjson",
            "-o ndjson and --json are two formats: leave one of them out",
        ),
    ],
)
def test_wrong_usage(args: str, message: str) -> None:
    assert run("port", *args.split()) == Done(2, "", f"netinspect: {message}\n")


def test_a_source_that_is_not_offered() -> None:
    done = run("port", "80", "--source", "nothing")
    assert done.status == 2
    assert done.err.startswith("netinspect: unknown source 'nothing'")


def capture(tmp_path: Path, *connections: Connection) -> str:
    path = tmp_path / "sockets.json"
    envelope = {key: getattr(ENVELOPE, key) for key in ENVELOPE.__struct_fields__}
    path.write_bytes(msgspec.json.encode(Snapshot(**envelope, connections=connections, notes=())))
    return str(path)


LISTENER = made(
    state="LISTEN",
    local_address="0.0.0.0",
    local_port=8080,
    remote_address=None,
    remote_port=None,
)
MAY_BE_BOUND = (
    "netinspect: netinspect-json: sockets that are bound and nothing more may not be shown there, "
    "so a port may be taken by one of those\n"
)


def test_a_captured_port_is_only_predicted(tmp_path: Path) -> None:
    path = capture(tmp_path, LISTENER)
    done = run("port", "8080", "--from", path)
    assert (done.status, done.err) == (1, MAY_BE_BOUND)
    assert done.out == CAPTURED

    done = run("port", "8080", "--from", path, "--json")
    document = json.loads(done.out)
    assert (document["host"], document["uid"]) == ("here", None)
    places = document["ports"][0]["places"]
    assert [place["plain"]["tried"] for place in places] == [False] * 3

    done = run("port", "8081", "--from", path)
    assert done == Done(0, "port 8081 is free: nothing that can be seen has it\n", MAY_BE_BOUND)


CAPTURED = """\
port 8080 is taken: nginx (pid 321, user alice) listens on 0.0.0.0:8080

Sockets with this port:
  LISTEN  0.0.0.0:8080  nginx (pid 321, user alice)

bind() and listen() now:
  address         plain        SO_REUSEADDR  SO_REUSEPORT
  :: and IPv4     EADDRINUSE?  EADDRINUSE?   depends?
  0.0.0.0         EADDRINUSE?  EADDRINUSE?   depends?
  :: (only IPv6)  works?       works?        works?
  ? not tried, but predicted from the sockets above.
  depends: on the options of the sockets above, which no table tells.

What to do:
  - Stop nginx (pid 321, user alice): `kill 321`.
  - Or take another port.
  - SO_REUSEADDR does not help: no two sockets listen on one address with it.
"""


@on_linux
@pytest.mark.parametrize("columns", [40, 60])
def test_a_captured_port_on_a_narrow_terminal(tmp_path: Path, columns: int) -> None:
    path = capture(tmp_path, LISTENER)
    done = run_on_terminal("port", "8080", "--from", path, columns=columns)
    assert max(map(len, done.out.splitlines())) <= columns
    assert done.out.startswith("port 8080 is taken: nginx (pid 321, user")
    assert "listens on 0.0.0.0:8080" in " ".join(done.out.split())


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("CapEff:\t0000000000000400\n", True),
        ("CapEff:\t00000000000003ff\n", False),
        ("Name:\tx\n", None),
    ],
)
def test_who_may_take_low_ports(tmp_path: Path, status: str, expected: bool | None) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/status").write_text(status)
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    assert may_take_low_ports(str(tmp_path)) == (is_root if expected is None else expected)


def test_who_may_take_low_ports_without_capabilities(tmp_path: Path) -> None:
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    assert may_take_low_ports(str(tmp_path)) == is_root


@on_linux
def test_namespaces_of_processes(tmp_path: Path) -> None:
    for pid, inode in (("self", 1), ("10", 1), ("20", 2), ("30", 2), ("40", 3)):
        (tmp_path / pid / "ns").mkdir(parents=True)
        namespace = tmp_path / f"net{inode}"
        namespace.touch()
        (tmp_path / pid / "ns/net").symlink_to(namespace)
    (tmp_path / "50").mkdir()  # it may not be looked into
    (tmp_path / "version").touch()
    found = other_namespaces(str(tmp_path))
    assert [namespace.pid for namespace in found] == [20, 40]
    assert [namespace.inode for namespace in found] == [
        (tmp_path / "net2").stat().st_ino,
        (tmp_path / "net3").stat().st_ino,
    ]
    assert other_namespaces(str(tmp_path / "nowhere")) == []


def test_a_capture_without_listeners_does_not_say_that_a_port_is_free(tmp_path: Path) -> None:
    path = tmp_path / "netstat.txt"
    path.write_text("tcp4 0 0  10.0.0.1.22 10.0.0.2.5555 ESTABLISHED\n", encoding="utf-8")
    done = run("port", "80", "--from", str(path), "--format", "macos-netstat")
    assert done.err.splitlines()[-1] == (
        "netinspect: no TCP listener is in the capture, as where -a was left out: a port may be "
        "taken by one of those"
    )


def test_bind_here_tells_nothing_of_another_system() -> None:
    env = environment(
        NETINSPECT_PLATFORM="darwin", NETINSPECT_ROOT=str(ROOT / "tests/roots/macos-26")
    )
    done = run("port", "631", env=env)
    assert done.status == 1
    assert done.out.startswith("port 631 is taken: cupsd (pid 97) listens on 127.0.0.1:631")
    assert "EADDRINUSE?" in done.out
