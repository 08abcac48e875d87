"""The groups of real sockets are those that a listing of the same sockets adds up to."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netinspect.render.columns import KEYS
from netinspect.sources.cgroups import cgroup_mount
from tests.namespace import private_network, why_not
from tests.program import run
from tests.sockets import open_zoo

pytestmark = pytest.mark.live

# What stays as it is, for as long as this takes
STABLE = ["--proto", "tcp,udp", "-s", "established,listen,unconn,close-wait"]


@pytest.fixture(scope="module", autouse=True)
def _zoo() -> Iterator[None]:
    """Sockets in every state, some of two processes, some of none; listeners with a queue."""
    if reason := why_not():
        pytest.skip(reason)
    with private_network(), open_zoo() as zoo:
        shared = zoo.listen(("127.0.0.1", 0))
        zoo.fork_holder(shared, zoo.connect(shared))
        yield


def printed(*args: str) -> list[dict[str, Any]]:
    done = run(*args, *STABLE, "-o", "ndjson")
    assert done.status == 0
    assert done.status == 0
    return [json.loads(line) for line in done.out.splitlines()]


def added_up(sockets: list[dict[str, Any]], by: list[str]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The groups of these sockets, one socket and one owner at a time."""
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for connection in sockets:
        owners = connection["owners"] or [{"pid": None, "process": None}]
        keys = {tuple(owner.get(k, connection.get(k)) for k in by) for owner in owners}
        for key in keys:
            group = groups.setdefault(key, {"states": Counter(), "bytes": [], "waiting": []})
            group["states"][connection["state"]] += 1
            queues = "waiting" if connection["state"] == "LISTEN" else "bytes"
            group[queues].append((connection["recv_q"], connection["send_q"]))
    return groups


def both(queues: list[tuple[int, int]]) -> tuple[int | None, int | None]:
    """The sums of both queues."""
    return (sum(q[0] for q in queues), sum(q[1] for q in queues)) if queues else (None, None)


@pytest.mark.parametrize(
    "by",
    [
        ["state"],
        ["protocol", "family"],
        ["local_address"],
        ["remote_address", "state"],
        ["pid"],
        ["process", "state"],
        ["user", "interface"],
        ["exposure", "owner_status"],
        ["direction", "state"],
        ["cgroup", "state"],
    ],
    ids=",".join,
)
def test_groups(by: list[str]) -> None:
    sockets = printed("list", "--columns", ",".join((*KEYS, "direction", "options")))
    for connection in sockets:
        connection["cgroup"] = (connection["options"] or {}).get("cgroup")
    groups = printed("summary", "--by", ",".join(by))
    if {"pid", "process"} & set(by):
        by = [*by, "owner_status"]  # null for different reasons: different groups
    expected = added_up(sockets, by)
    assert len(groups) == len(expected)
    for group in groups:
        mine = expected[tuple(group[key] for key in by)]
        assert group["states"] == mine["states"]
        assert group["count"] == mine["states"].total()
        assert group["listeners"] == mine["states"]["LISTEN"]
        assert (group["recv_q"], group["send_q"]) == both(mine["bytes"])
        assert (group["waiting"], group["backlog_limit"]) == both(mine["waiting"])
    assert sum(len(mine["bytes"]) for mine in expected.values()) > len(expected) / 2


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A cgroup, as long as a test runs."""
    path = Path(f"{cgroup_mount()}/netinspect-{os.getpid()}")
    try:
        path.mkdir()
    except OSError as error:
        pytest.skip(f"cannot make a cgroup: {error}")
    yield path
    path.rmdir()


def test_sockets_of_a_cgroup_are_a_group(cgroup: Path) -> None:
    """TIME_WAIT is in none."""
    client = (
        "import os, socket, sys\n"
        "open(sys.argv[1], 'w').write(str(os.getpid()))\n"
        "listener = socket.create_server(('127.0.0.1', 0))\n"
        "client = socket.create_connection(listener.getsockname())\n"
        "listener.accept()[0].close(), client.close()\n"
        "print(listener.getsockname()[1], flush=True), sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", client, str(cgroup / "cgroup.procs")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout
        port = process.stdout.readline().strip()
        done = run("summary", "--by", "cgroup,state", "--port", port, "-o", "ndjson")
        process.communicate()
    groups = [json.loads(line) for line in done.out.splitlines()]
    assert [(group["cgroup"], group["state"], group["count"]) for group in groups] == [
        *((f"/{cgroup.name}", "LISTEN", 1), (None, "TIME_WAIT", 1)),
    ]


def test_the_total_is_the_number_of_different_sockets() -> None:
    """Some are held by two processes."""
    document = json.loads(run("summary", "--by", "pid", "--json", *STABLE).out)
    counts = sum(group["count"] for group in document["groups"])
    assert document["total"] == len(printed("list")) < counts


def test_top_leaves_out_what_it_says() -> None:
    by = ["summary", "--by", "local_address,local_port"]
    whole = json.loads(run(*by, "--json", *STABLE).out)
    top = json.loads(run(*by, "--top", "3", "--json", *STABLE).out)
    assert top["groups"] == whole["groups"][:3]
    assert top["left_out"] == {
        "groups": len(whole["groups"]) - 3,
        "count": sum(group["count"] for group in whole["groups"][3:]),
    }
    assert (top["total"], whole["left_out"]) == (whole["total"], {"groups": 0, "count": 0})


def test_a_process_with_a_hostile_name() -> None:
    """It can neither move the cursor nor begin a line of its own."""
    reading, writing = os.pipe()
    listener = socket.create_server(("127.0.0.1", 0))
    pid = os.fork()
    if pid == 0:
        with open("/proc/self/comm", "wb") as comm:
            comm.write(b"a\x1b[2J\nb \xff")
        os.write(writing, b".")
        os.read(os.pipe()[0], 1)
    os.read(reading, 1)
    try:
        port = str(listener.getsockname()[1])
        done = run("summary", "--by", "process", "--pid", str(pid), "--lport", port)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        listener.close()
        os.close(reading)
        os.close(writing)
    assert "\na\\x1b[2J\\x0ab \\xff  " in done.out


def test_a_source_that_gives_other_owners() -> None:
    done = run("summary", "--source", "psutil", "--by", "process", "--proto", "tcp")
    assert done.status == 0
    assert "psutil tells no queues" in done.err
    [total] = [line.split()[1] for line in done.out.splitlines() if line.startswith("total")]
    assert int(total) > 10
