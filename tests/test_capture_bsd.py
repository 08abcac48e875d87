"""Captures of the BSDs and Windows through `--from`: recognised, read whole, joined."""

from __future__ import annotations

from pathlib import Path

import pytest

from netinspect import snapshot
from netinspect.model import Snapshot
from tests.bsd_sockets import ANSWERS, CURL, INET, NGINX, ROOTS, SSHD, WORKER
from tests.program import environment, run
from tests.test_netstat_windows import CAPTURE

FIXTURES = Path(__file__).parent / "fixtures/freebsd"
FORMAT_OF = {
    "netstat-json": "freebsd-netstat-json",
    "netstat-queues": "freebsd-netstat",
    "sockstat": "sockstat",
    "fstat": "fstat",
}
CAPTURES = [
    (FIXTURES / "12-netstat-an.txt", "freebsd-netstat"),
    (FIXTURES / "10-sockstat-46l.txt", "sockstat"),
    *(
        (
            ROOTS / root / "answers" / name,
            FORMAT_OF.get(name, f"{root.rstrip('0123456789')}-netstat"),
        )
        for root, answers in ANSWERS.items()
        for name in answers
        if name != "sysctl"
    ),
]


def read(*paths: Path, **options: object) -> Snapshot:
    return snapshot(captures=[str(path) for path in paths], **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "name"),
    CAPTURES,
    ids=lambda v: f"{v.parts[-3]}-{v.name}" if isinstance(v, Path) else v,
)
def test_each_capture_is_recognised_and_read_whole(path: Path, name: str) -> None:
    found = read(path)
    assert found.sources == (name,)
    assert found.connections
    assert {n.code for n in found.notes} <= {
        "rows_left_out",
        "taken_for_listeners",
        "time_wait_hidden",
        "truncated_address",
    }


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_windows_in_the_encodings_of_its_shells(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "netstat.txt"
    path.write_bytes(CAPTURE.encode(encoding))
    found = read(path)
    assert (found.sources, len(found.connections), found.notes) == (("windows-netstat",), 9, ())


@pytest.mark.parametrize("root", ["freebsd12", "freebsd15", "openbsd7", "netbsd10"])
def test_a_netstat_and_who_holds_its_sockets(root: str) -> None:
    answers = ROOTS / root / "answers"
    holders = "fstat" if root == "openbsd7" else "sockstat"
    found = read(answers / "netstat-wide", answers / holders, protocols=["tcp", "udp"])
    sockets = [s for s in INET if s.protocol != "raw"]
    assert len(found.connections) == len(sockets) + root.startswith("freebsd")
    by_place = {(c.family, c.state, c.local_port): c for c in found.connections}
    for family in ("ipv4", "ipv6"):
        ssh = by_place[family, "LISTEN", 22]
        assert [(o.pid, o.fd) for o in ssh.owners] == [(SSHD.pid, SSHD.fd)]
    web = by_place["ipv6", "LISTEN", 80]
    assert [(o.pid, o.fd) for o in web.owners] == [(NGINX.pid, 7), (WORKER.pid, 7)]
    assert by_place["ipv4", "CLOSE_WAIT", 50006].process == CURL.command
    assert by_place["ipv4", "TIME_WAIT", 50011].owners == ()


def test_who_waits_at_the_listeners_of_freebsd() -> None:
    answers = ROOTS / "freebsd15/answers"
    found = read(answers / "netstat-wide", answers / "netstat-queues", protocols=["tcp4"])
    waiting = {c.local_port: (c.recv_q, c.send_q) for c in found.connections if c.state == "LISTEN"}
    assert waiting == {22: (2, 128), 25: (0, 10)}


def test_strict_points_at_the_place(tmp_path: Path) -> None:
    path = tmp_path / "capture.txt"
    row = "tcp4       0      0 *.22                   *.*                    LISTENING"
    path.write_text(ANSWERS["freebsd12"]["netstat-wide"] + row + "\n")
    done = run("--from", str(path), "--strict", "-q", env=environment())
    assert done.status == 3
    line = len(path.read_text().splitlines())
    assert f"{path}:{line}: expected a state such as ESTABLISHED" in done.err
    assert f"  {row}\n  {' ' * row.index('LISTENING')}{'~' * 8}^" in done.err
