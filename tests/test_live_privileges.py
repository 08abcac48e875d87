"""Without the rights of root, in each way in which they can be missing: what is told, what not."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, NamedTuple

import pytest

from tests.namespace import why_not

pytestmark = pytest.mark.live

REASON = why_not()

# One process stays root and holds a listener on port 1; the other loses rights and holds port 2.
# All modules are loaded before: nobody may not be able to read them.
SCRIPT = r"""
import ctypes, os, socket, struct, sys
import netinspect.api, netinspect.cli.app, netinspect.cli.list_command, netinspect.owners
import netinspect.cli.check_command, netinspect.monitor.metrics, netinspect.grouping.keys
import netinspect.parse.proc_net, netinspect.parse.unix_diag, netinspect.render.listing
import netinspect.sources.proc_net, netinspect.sources.sock_diag

LIBC = ctypes.CDLL(None, use_errno=True)


def keep() -> None:
    pass


def become_nobody() -> None:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


def enter_user_namespace() -> None:
    assert LIBC.unshare(0x10000000) == 0, os.strerror(ctypes.get_errno())


def lose_netlink() -> None:
    # seccomp: socket(AF_NETLINK, ...) fails with EPERM, all else is allowed
    machine = os.uname().machine
    number = {"x86_64": 41, "aarch64": 198}[machine]
    steps = (
        (0x20, 0, 0, 0),  # the number of the system call
        (0x15, 0, 3, number),  # unless it is socket(): allow
        (0x20, 0, 0, 16),  # its first argument
        (0x15, 0, 1, socket.AF_NETLINK),
        (0x06, 0, 0, 0x00050000 | 1),  # EPERM
        (0x06, 0, 0, 0x7FFF0000),  # allow
    )
    code = b"".join(struct.pack("HBBI", *step) for step in steps)

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]

    assert LIBC.prctl(38, 1, 0, 0, 0) == 0
    program = Program(len(steps), code)
    assert LIBC.prctl(22, 2, ctypes.byref(program)) == 0, os.strerror(ctypes.get_errno())


theirs = socket.create_server(("127.0.0.1", 1))
ours = socket.create_server(("127.0.0.1", 2))
if os.fork():
    ours.close()
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
theirs.close()
globals()[sys.argv[1]]()
sys.exit(netinspect.cli.app.run(sys.argv[2:]))
"""
NOT_FROM_HERE = "may not be looked into; run as root to see all"


class Answer(NamedTuple):
    """What the program said: the document, owner_status by port, and stderr."""

    document: dict[str, Any]
    status_of: dict[int, str]
    stderr: str


def ask(loss: str, *args: str, proc: str | None = None) -> Answer:
    """Run the program after this loss, with /proc mounted like this, in a network of its own."""
    if REASON:
        pytest.skip(REASON)
    mount = f"mount {proc} /proc && " if proc else ""
    shell = ["unshare", "-mn", "sh", "-c", f'{mount}exec "$@"', "sh"]
    command = [*shell, sys.executable, "-c", SCRIPT, loss, "--json", *args]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    status_of = {c["local_port"]: c["owner_status"] for c in document["connections"]}
    return Answer(document, status_of, done.stderr)


def notes(answer: Answer) -> dict[str, str]:
    found = {note["code"]: note["message"] for note in answer.document["notes"]}
    assert answer.stderr == "".join(f"netinspect: {message}\n" for message in found.values())
    return found


def test_root_sees_both() -> None:
    assert ask("keep").status_of == {1: "known", 2: "known"}


@pytest.mark.parametrize(
    "proc", [None, "-t proc -o hidepid=1 proc", "-t proc -o subset=pid proc"], ids=str
)
def test_another_users_socket_is_hidden_and_its_own_is_not(proc: str | None) -> None:
    answer = ask("become_nobody", proc=proc)
    assert answer.status_of == {1: "hidden", 2: "known"}
    message = notes(answer)["owners_hidden"]
    assert message.startswith("the owner of 1 socket is hidden: ")
    assert message.endswith(NOT_FROM_HERE)


def test_hidepid_2_hides_that_there_are_others() -> None:
    answer = ask("become_nobody", proc="-t proc -o hidepid=2 proc")
    assert answer.status_of == {1: "hidden", 2: "known"}
    assert notes(answer) == {
        "owners_hidden": "the owner of 1 socket is hidden: /proc shows only one's own processes "
        "(hidepid); run as root to see all"
    }


def test_proc_itself_can_be_read_with_subset_pid() -> None:
    answer = ask("become_nobody", "--source", "proc", proc="-t proc -o subset=pid proc")
    assert answer.document["sources"] == ["proc"]
    assert answer.status_of == {1: "hidden", 2: "known"}


def test_in_a_user_namespace() -> None:
    answer = ask("enter_user_namespace")
    assert answer.status_of == {1: "hidden", 2: "known"}
    assert notes(answer)["owners_hidden"].endswith(NOT_FROM_HERE)


def test_without_proc_there_are_sockets_and_no_owners() -> None:
    answer = ask("keep", proc="-t tmpfs none")
    assert answer.document["sources"] == ["sock_diag"]
    assert answer.status_of == {1: "hidden", 2: "hidden"}
    assert notes(answer) == {
        "owners_hidden": "the owners of 2 sockets are hidden: no processes can be seen in /proc; "
        "mount it to see them"
    }


def test_where_netlink_is_refused_proc_stands_in() -> None:
    answer = ask("lose_netlink")
    assert answer.document["sources"] == ["proc"]
    assert answer.status_of == {1: "known", 2: "known"}
    assert notes(answer) == {
        "source_fallback": "netlink is refused: Operation not permitted; read from proc instead, "
        "which tells less"
    }
