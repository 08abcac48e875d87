"""What is said of a port, of sockets that no test can easily make."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from msgspec.structs import replace

from netinspect.diagnose.bind import EVERYWHERE, BindAddress, Binder, Outcome
from netinspect.diagnose.port import Question, Tried, answer, differences, role_of
from netinspect.diagnose.port_record import Neighbour, PortAnswer, Ports
from netinspect.model import Connection, Note, Owner, Timer
from netinspect.render.port import COMMAND, PLACE_TITLES, render_ports
from netinspect.render.schema import render_schema
from netinspect.settings import Settings
from tests.records import ANY_CONNECTIONS, HOSTILE_NAMES, made

DUAL, ANY4, ANY6 = EVERYWHERE
ONE = BindAddress("127.0.0.1")
LINUX = Settings(ephemeral_range=(32768, 60999), reserved_ports=(), unprivileged_port_start=1024)
BINDER = Binder(uid=1000, may_take_low_ports=False, settings=LINUX)
NGINX = Owner(12, "nginx", 6, unit="nginx.service", container=None, runtime=None)
FAILS, WORKS = Outcome(works=False, error="EADDRINUSE"), Outcome(works=True)


def question(port: int = 8080, **keys: Any) -> Question:
    known = {"protocol": "tcp", "service": None, "asked": EVERYWHERE}
    return Question(port, **{**known, **keys})


def on_port(state: str = "LISTEN", **keys: Any) -> Connection:
    known: dict[str, Any] = {
        "state": state,
        "local_address": "0.0.0.0",
        "local_port": 8080,
        "remote_address": None,
        "remote_port": None,
        "uid": 33,
        "user": "www-data",
        "owners": (NGINX,),
        "pid": 12,
        "direction": "unknown",
    }
    return made(**{**known, **keys})


def connected(state: str = "ESTABLISHED", **keys: Any) -> Connection:
    known = {"remote_address": "10.0.0.9", "remote_port": 40001, "direction": "outbound"}
    return on_port(state, **{**known, "local_address": "10.0.0.1", **keys})


def time_wait(seconds: float, **keys: Any) -> Connection:
    timer = Timer("time_wait", int(seconds * 1000), 0)
    nobody = {"uid": None, "user": None, "owners": (), "owner_status": "none"}
    return connected("TIME_WAIT", timer=timer, **{**nobody, **keys})


def of(*sockets: Connection, tried: Tried | None = None, **keys: Any) -> PortAnswer:
    binder = keys.pop("binder", BINDER)
    return answer(question(**keys), sockets, binder, tried=tried or {})


def advice_for(*owners: Owner, **keys: Any) -> str:
    return of(on_port(owners=owners, **keys)).advice[0]


def test_who_listens() -> None:
    found = of(on_port())
    assert found.answer == (
        "port 8080 is taken: nginx (pid 12, user www-data) listens on 0.0.0.0:8080"
    )
    assert found.advice == (
        "Stop nginx (pid 12, user www-data): `systemctl stop nginx.service`.",
        "Or take another port.",
        "SO_REUSEADDR does not help: no two sockets listen on one address with it.",
    )


def test_many_owners() -> None:
    owners = tuple(Owner(pid, "nginx", 6) for pid in (12, 13, 14, 15, 15, 16))
    assert of(on_port(owners=owners)).answer == (
        "port 8080 is taken: nginx (pids 12, 13, 14 and 2 more, user www-data) listens on "
        "0.0.0.0:8080"
    )


def test_a_user_without_a_name_and_a_process_without_one() -> None:
    found = of(on_port(user=None, owners=(Owner(12, None, 6),)))
    assert found.answer == (
        "port 8080 is taken: a process (pid 12, user 33) listens on 0.0.0.0:8080"
    )


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        (
            Owner(1, "systemd", 40, unit="init.scope"),
            (
                "systemd holds it for a .socket unit: `systemctl list-sockets` names it, "
                "`systemctl stop NAME.socket` gives the port back."
            ),
        ),
        (
            Owner(900, "docker-proxy", 4, unit="docker.service"),
            "A container publishes it: `docker ps` names it, `docker stop` ends it.",
        ),
        (
            Owner(12, "nginx", 6, unit="x.scope", container="3f9c0a7d5b21" * 5, runtime="podman"),
            "Stop nginx (pid 12, user www-data): `podman stop 3f9c0a7d5b21`.",
        ),
        (
            Owner(12, "nginx", 6, unit="crio.service", container="web", runtime="lxc"),
            "Stop nginx (pid 12, user www-data): `systemctl stop crio.service`.",
        ),
        (
            Owner(12, "vite", 6, unit="session-3.scope"),
            "Stop vite (pid 12, user www-data): `kill 12`.",
        ),
        (
            Owner(12, "vite", 6, unit="user@1000.service"),
            "Stop vite (pid 12, user www-data): `kill 12`.",
        ),
    ],
    ids=lambda value: value.process if isinstance(value, Owner) else "",
)
def test_whom_to_stop(owner: Owner, expected: str) -> None:
    assert advice_for(owner) == expected


@pytest.mark.parametrize(
    ("uid", "status", "who", "expected"),
    [
        (
            1000,
            "hidden",
            "a process that is hidden from you (user www-data)",
            "`sudo netinspect port 8080` tells whose it is.",
        ),
        (
            0,
            "hidden",
            "a process that is hidden from you (user www-data)",
            "Its process is hidden from root, too: to see it takes CAP_SYS_PTRACE.",
        ),
        (
            0,
            "not_found",
            "no process that can be found (user www-data)",
            (
                "No process that can be seen has it: the kernel itself may (NFS, WireGuard), or a "
                "process of another PID namespace (container)."
            ),
        ),
        (
            None,
            "unsupported",
            "a process that is not told (user www-data)",
            "`sudo netinspect port 8080` on that machine tells whose it is.",
        ),
    ],
)
def test_owners_that_are_not_known(uid: int | None, status: str, who: str, expected: str) -> None:
    found = of(on_port(owners=(), owner_status=status), binder=BINDER._replace(uid=uid))
    assert found.answer == f"port 8080 is taken: {who} listens on 0.0.0.0:8080"
    assert found.advice[0] == expected


def test_nobody_is_looked_for_who_cannot_be_there() -> None:
    """No process has what a listener has left in TIME_WAIT, so nobody can tell whose it is."""
    found = of(on_port(), time_wait(41, direction="inbound"), binder=BINDER._replace(uid=0))
    assert [holder.role for holder in found.holders] == ["listener", "accepted"]
    assert found.advice[:2] == (
        "Stop nginx (pid 12, user www-data): `systemctl stop nginx.service`.",
        "Or take another port.",
    )


RANGE = Settings(ephemeral_range=(32768, 60999))


@pytest.mark.parametrize(
    ("connection", "settings", "role"),
    [
        (on_port(), RANGE, "listener"),
        (on_port("BOUND"), RANGE, "bound"),
        (connected("SYN_RECV"), RANGE, "request"),
        (connected("SYN_SENT"), Settings(), "client"),
        (connected(direction="inbound"), RANGE, "accepted"),
        (connected(), RANGE, "leftover"),
        (connected(local_port=40000, remote_port=443), RANGE, "client"),
        (connected(local_port=40000), RANGE, "connection"),
        (connected(local_port=800, remote_port=2049), RANGE, "connection"),
        (connected(remote_port=61000), RANGE, "leftover"),
        (connected(), Settings(), "connection"),
        (on_port("UNCONN", protocol="udp"), RANGE, "datagram"),
        (connected(protocol="udp"), RANGE, "datagram"),
    ],
)
def test_roles(connection: Connection, settings: Settings, role: str) -> None:
    assert role_of(connection, settings) == role


def test_connections_that_are_alike_are_one_holder() -> None:
    found = of(
        on_port(),
        *(connected(direction="inbound", remote_port=port) for port in (1, 2, 3)),
        connected("CLOSE_WAIT", direction="inbound", local_address="10.0.0.2"),
        connected(direction="inbound", local_address="10.0.0.2"),
    )
    shown = [(h.role, h.state, h.count, h.local_address, h.remote_port) for h in found.holders]
    assert shown == [
        ("listener", "LISTEN", 1, "0.0.0.0", None),
        ("accepted", "ESTABLISHED", 4, None, None),
        ("accepted", "CLOSE_WAIT", 1, "10.0.0.2", 40001),
    ]
    assert found.answer.endswith("nginx (pid 12, user www-data) listens on 0.0.0.0:8080")


def test_what_an_earlier_listener_has_left() -> None:
    found = of(time_wait(41.2), time_wait(3.5, remote_port=40002), connected("FIN_WAIT2"))
    assert found.answer == (
        "port 8080 is taken: an earlier listener has left 1 connection in FIN_WAIT2, held by nginx "
        "(pid 12, user www-data) and 2 connections in TIME_WAIT, for 42 s more"
    )
    assert found.advice == (
        "Wait 42 s: TIME_WAIT goes by itself.",
        "Stop nginx (pid 12, user www-data): `systemctl stop nginx.service`.",
        (
            "Set SO_REUSEADDR on the new listening socket, before bind(): it works at once if the "
            "one before had it too, which no table tells."
        ),
    )


def test_leftovers_on_a_port_for_the_privileged() -> None:
    """That SO_REUSEADDR is refused as well says nothing of the socket before."""
    refused = Outcome(works=False, error="EACCES")
    found = of(
        time_wait(9, local_port=80),
        port=80,
        asked=(ANY4,),
        tried={(ANY4, "plain"): refused, (ANY4, "reuse_address"): refused},
    )
    assert found.cause == "leftover"
    assert found.advice[:2] == (
        "Wait 9 s: TIME_WAIT goes by itself.",
        (
            "Set SO_REUSEADDR on the new listening socket, before bind(): it works at once if the "
            "one before had it too, which no table tells."
        ),
    )


def test_connections_that_no_process_holds() -> None:
    found = of(connected("LAST_ACK", owners=(), owner_status="none", uid=None, user=None))
    assert found.answer == (
        "port 8080 is taken: an earlier listener has left 1 connection in LAST_ACK, held by no "
        "process any more"
    )
    assert found.advice[0] == (
        "Connections that no process holds end when the other end closes, or by a timeout."
    )


def test_what_may_be_a_client_or_a_leftover() -> None:
    found = of(connected(local_port=40000), connected("CLOSE_WAIT", local_port=40000), port=40000)
    assert found.cause == "connection"
    assert found.answer == (
        "port 40000 is taken: nginx (pid 12, user www-data) has 1 connection on 10.0.0.1:40000 in "
        "ESTABLISHED, and 1 other"
    )


def test_one_client_of_many() -> None:
    first = connected(local_port=40000, remote_port=443)
    found = of(first, replace(first, remote_address="10.0.0.8"), port=40000)
    assert found.answer == (
        "port 40000 is taken: nginx (pid 12, user www-data) has it for a connection to 2 other ends"
    )


def test_udp_that_is_connected_and_on_a_device() -> None:
    udp = connected(protocol="udp", interface="eth0", local_address="fd00::1", family="ipv6")
    assert of(udp, protocol="udp").answer == (
        "udp port 8080 is taken: nginx (pid 12, user www-data) receives on [fd00::1]:8080 on eth0, "
        "connected to 10.0.0.9:40001"
    )


def test_whether_ipv4_comes_with_it_is_not_told() -> None:
    found = of(on_port(local_address="::", family="ipv6"), asked=(ANY4,))
    assert (found.free, found.cause) == (None, "listener")
    assert found.answer == (
        "port 8080 may be taken on 0.0.0.0: nginx (pid 12, user www-data) listens on [::]:8080"
    )


def tried(outcome: Outcome, *places: BindAddress) -> Tried:
    return {(where, "plain"): outcome for where in places or EVERYWHERE}


def test_a_socket_that_no_table_shows() -> None:
    found = of(tried=tried(FAILS))
    assert (found.free, found.cause) == (False, "unseen")
    assert found.answer == (
        "port 8080 is taken: bind() says so, but no table that could be read shows a socket that "
        "has it"
    )
    assert differences([found]) == []


def test_where_bind_says_something_else() -> None:
    found = of(on_port(), tried=tried(WORKS))
    assert (found.free, found.cause) == (True, None)
    assert [place.reuse_port.works for place in found.places] == [True] * 3
    assert differences([found]) == [
        Note(
            "prediction_differs",
            2,
            "tcp port 8080: what bind() said of ::, 0.0.0.0 does not follow from the sockets and "
            "addresses that were read; they may have changed in between, or something decides "
            "that is not shown there (a socket, a route, ip_nonlocal_bind)",
        )
    ]


def test_refused_by_a_security_module() -> None:
    found = of(tried=tried(Outcome(works=False, error="EACCES")))
    assert found.answer == (
        "port 8080 is not for uid 1000: a security module (SELinux, a BPF program) refuses it"
    )
    assert found.advice == (
        "Ask what forbids it: with SELinux `semanage port -l` lists which ports who may bind.",
    )


def test_privileged_and_taken() -> None:
    found = of(on_port(local_port=80), port=80)
    assert found.cause == "listener"
    assert found.advice[-1] == (
        "Or bind a port from 1024 on, or let all users have it: "
        "`sysctl net.ipv4.ip_unprivileged_port_start=80`."
    )


@pytest.mark.parametrize(("uid", "name"), [(1000, "uid 1000"), (0, "root"), (None, "you")])
def test_whom_a_port_is_not_for(uid: int | None, name: str) -> None:
    found = of(port=80, binder=BINDER._replace(uid=uid))
    assert found.answer == f"port 80 is not for {name}: ports below 1024 take CAP_NET_BIND_SERVICE"


def test_an_error_without_a_meaning_of_ours() -> None:
    found = of(asked=(ONE,), tried=tried(Outcome(works=False, error="EINVAL"), ONE))
    assert (found.cause, found.advice) == ("address", ())
    assert found.answer == "port 8080 cannot be bound on 127.0.0.1: bind() says EINVAL"


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        (
            replace(LINUX, reserved_ports=((9000, 9010), (40001, 40001))),
            (
                (
                    "connect() gives the ports 32768 to 60999 to clients, this one too. To keep it "
                    "for a server: `sysctl net.ipv4.ip_local_reserved_ports=9000-9010,40001,40000`."
                ),
            ),
        ),
        (replace(LINUX, reserved_ports=((39999, 40001),)), ()),
        (replace(LINUX, reserved_ports=None), ()),
        (replace(LINUX, ephemeral_range=None), ()),
        (replace(LINUX, ephemeral_range=(40001, 60999)), ()),
    ],
)
def test_a_free_port_that_clients_may_take(settings: Settings, advice: tuple[str, ...]) -> None:
    assert of(port=40000, binder=BINDER._replace(settings=settings)).advice == advice


def test_other_addresses_that_are_free() -> None:
    others = tuple(map(BindAddress, ("10.0.0.1", "10.0.0.2", "10.0.0.3", "::1", "fe80::1%eth0")))
    found = of(on_port(local_address="10.0.0.1"), others=others)
    assert found.advice[1] == (
        "Or bind one address alone: 10.0.0.2, 10.0.0.3, ::1 and 1 more can be had."
    )


def document(*found: PortAnswer, uid: int | None = 1000) -> Ports:
    return Ports(
        host="here",
        platform="linux",
        sources=("sock_diag",),
        taken_at="2026-01-02T03:04:05Z",
        uid=uid,
        ports=found,
        notes=(),
    )


def rendered(found: Ports, output: str = "table", *, width: int | None = None) -> str:
    return b"".join(render_ports(found, output, terminal_width=width)).decode()


def test_the_whole_text() -> None:
    others = tuple(map(BindAddress, ("10.0.0.1", "10.0.0.2", "::1", "fd00::1", "fe80::1%eth0")))
    neighbours = [
        Neighbour(4026532246, "::", (Owner(77, "java", 5),)),
        Neighbour(4026532247, "10.1.1.1", ()),
    ]
    found = answer(
        question(others=others),
        [on_port("BOUND"), time_wait(7, remote_port=40002), time_wait(9), connected(uid=1000)],
        BINDER,
        tried={(DUAL, "plain"): FAILS, (ANY6, "plain"): WORKS},
        neighbours=neighbours,
    )
    assert rendered(document(found)) == TEXT
    assert rendered(document(found), width=100) == TEXT
    assert rendered(document(found), width=60) == NARROW_TEXT


@pytest.mark.parametrize(
    ("state", "said"),
    [("ESTABLISHED", "yet"), ("CLOSE_WAIT", "yet"), ("SYN_RECV", "yet"), ("FIN_WAIT2", "any more")],
)
def test_what_waits_to_be_accepted_has_no_process_yet(state: str, said: str) -> None:
    nobody = {"owners": (), "owner_status": "none", "uid": None, "user": None}
    found = of(on_port(), connected(state, direction="inbound", **nobody))
    assert f"no process {said}\n" in rendered(document(found))


TEXT = """\
port 8080 is taken: nginx (pid 12, user www-data) has bound 0.0.0.0:8080, but does not listen

Sockets with this port:
  BOUND        0.0.0.0:8080                        nginx (pid 12, user www-data)
  TIME_WAIT    10.0.0.1:8080  2 of them, 9 s left  no process any more
  ESTABLISHED  10.0.0.1:8080  to 10.0.0.9:40001    nginx (pid 12, user www-data)

bind() and listen() as uid 1000 now:
  address                  plain        SO_REUSEADDR  SO_REUSEPORT
  :: and IPv4              EADDRINUSE   depends?      depends?
  0.0.0.0                  EADDRINUSE?  depends?      depends?
  :: (only IPv6)           works        works         works
  10.0.0.1                 EADDRINUSE?  depends?      depends?
  10.0.0.2                 EADDRINUSE?  depends?      EADDRINUSE?
  ::1, fd00::1 and 1 more  works?       works?        works?
  ? not tried, but predicted from the sockets above.
  depends: on the options of the sockets above, which no table tells.

What to do:
  - It holds the port without listening: it is about to listen, has forgotten to, or is a client
    that chose this port for itself.
  - Stop nginx (pid 12, user www-data): `systemctl stop nginx.service`.
  - Or bind one address alone: ::1, fd00::1, fe80::1%eth0 can be had.

In other network namespaces, which is in nobody's way here:
  [::]:8080, java (pid 77), net:[4026532246]
  10.1.1.1:8080, nobody known, net:[4026532247]
"""


NARROW_TEXT = """\
port 8080 is taken: nginx (pid 12, user www-data) has bound
  0.0.0.0:8080, but does not listen

Sockets with this port:
  BOUND  0.0.0.0:8080  nginx (pid 12, user www-data)
  TIME_WAIT  10.0.0.1:8080  2 of them, 9 s left
    no process any more
  ESTABLISHED  10.0.0.1:8080  to 10.0.0.9:40001
    nginx (pid 12, user www-data)

bind() and listen() as uid 1000 now:
  address            plain        SO_REUSEADDR  SO_REUSEPORT
  -----------------  -----------  ------------  ------------
  :: and IPv4        EADDRINUSE   depends?      depends?
  0.0.0.0            EADDRINUSE?  depends?      depends?
  :: (only IPv6)     works        works         works
  10.0.0.1           EADDRINUSE?  depends?      depends?
  10.0.0.2           EADDRINUSE?  depends?      EADDRINUSE?
  ::1, fd00::1 and   works?       works?        works?
  1 more
  ? not tried, but predicted from the sockets above.
  depends: on the options of the sockets above, which no
    table tells.

What to do:
  - It holds the port without listening: it is about to
    listen, has forgotten to, or is a client that chose this
    port for itself.
  - Stop nginx (pid 12, user www-data):
    `systemctl stop nginx.service`.
  - Or bind one address alone: ::1, fd00::1, fe80::1%eth0
    can be had.

In other network namespaces, which is in nobody's way here:
  [::]:8080, java (pid 77), net:[4026532246]
  10.1.1.1:8080, nobody known, net:[4026532247]
"""
LONGEST = "2001:db8:1234:5678:9abc:def0:1234:5678"


@pytest.mark.parametrize("width", [30, 40, 60, 80])
def test_a_narrow_terminal_cuts_no_word(width: int) -> None:
    """A line is too long only where it is one word, or a command."""
    listener = on_port(local_address=LONGEST, family="ipv6")
    far = connected(local_address=LONGEST, remote_address=f"{LONGEST[:-4]}9999", family="ipv6")
    found = answer(
        question(asked=(BindAddress(LONGEST),)),
        [listener, far, replace(far, cookie=2, state="CLOSE_WAIT")],
        BINDER,
        tried={},
        neighbours=[Neighbour(4026532246, LONGEST, (Owner(77, "java", 5),))],
    )
    wide, narrow = (rendered(document(found), width=w) for w in (None, width))
    assert told(narrow) == told(wide)
    several = rendered(document(found, of()), width=width)
    assert several.split() == rendered(document(found, of())).split()
    for line in (narrow + several).splitlines():
        words = COMMAND.sub("command", line.removeprefix("  - ")).split()
        assert len(line) <= width or len(words) == 1


def told(text: str) -> list[str]:
    """The words, without the titles and rules of the table."""
    words = (word.rstrip(":") for word in text.split())
    return sorted(word for word in words if word.strip("-") and word not in PLACE_TITLES)


def test_what_the_owner_runs() -> None:
    java = Owner(12, "java", 6, command_line=("/usr/bin/java", "-Xmx1g", "-jar", "/srv/shop.jar"))
    same = Owner(13, "nginx", 6, command_line=("/usr/sbin/nginx", "-g"))
    text = rendered(document(of(on_port(owners=(java,)), on_port(cookie=2, owners=(same,)))))
    assert text.splitlines()[3:5] == [
        "  LISTEN  0.0.0.0:8080  java (pid 12, user www-data)   java -jar shop.jar",
        "  LISTEN  0.0.0.0:8080  nginx (pid 13, user www-data)",
    ]


def test_several_ports_have_a_line_each() -> None:
    found = document(of(on_port()), of(port=8081))
    assert rendered(found) == (
        "port 8080 is taken: nginx (pid 12, user www-data) listens on 0.0.0.0:8080\n"
        "port 8081 is free: nothing that can be seen has it\n"
    )
    lines = rendered(found, "ndjson").splitlines()
    assert [json.loads(line)["port"] for line in lines] == [8080, 8081]


@given(HOSTILE_NAMES)
def test_names_do_nothing_to_a_terminal(name: str) -> None:
    owner = Owner(12, name, 6, unit=f"{name}.service", container=name, runtime="docker")
    neighbour = Neighbour(1, name, (owner,))
    found = answer(
        question(),
        [on_port(owners=(owner,), user=name, interface=name)],
        BINDER,
        tried={},
        neighbours=[neighbour],
    )
    for width in (40, 100):
        text = rendered(document(found), width=width)
        assert all(line.isprintable() for line in text.split("\n"))
    text = rendered(document(found), "json", width=80)
    assert text.removesuffix("\n").isprintable()


def test_a_name_is_the_same_wherever_it_stands() -> None:
    """A newline in it is no blank of the sentence."""
    text = rendered(document(of(on_port(owners=(Owner(12, "a\nb", 3),)))))
    assert text.count("a\\x0ab (pid 12, user www-data)") == 3


VALIDATOR = Draft202012Validator(json.loads(b"".join(render_schema("port"))))
OUTCOMES = st.builds(
    lambda error: Outcome(works=error is None, error=error),
    st.sampled_from((None, "EADDRINUSE", "EACCES", "EADDRNOTAVAIL", "EINVAL")),
)


@given(
    st.lists(ANY_CONNECTIONS, max_size=5),
    st.dictionaries(st.sampled_from([(w, "plain") for w in EVERYWHERE]), OUTCOMES),
    st.booleans(),
)
def test_any_sockets(sockets: list[Connection], outcomes: Tried, has_linux_rules: bool) -> None:
    binder = BINDER._replace(has_linux_rules=has_linux_rules)
    found = answer(question(), sockets, binder, tried=outcomes)
    VALIDATOR.validate(json.loads(rendered(document(found), "json")))
    assert rendered(document(found)).startswith("port 8080 ")
    assert (found.free is True) == (found.cause is None)
    assert sum(holder.count for holder in found.holders) == len(sockets)
    assert found.free is not True or all(place.plain.works for place in found.places)
