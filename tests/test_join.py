from __future__ import annotations

from typing import Any

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from netinspect.model import Connection, Owner
from netinspect.parse.join import join
from tests.records import made

LSOF = Owner(812, "nginx: master process", 6)


NO_OWNER: dict[str, Any] = {
    "pid": None, "process": None, "owners": (), "owner_status": "unsupported",
    "inode": None, "cookie": None, "uid": None, "user": None,
}  # fmt: skip


def netstat(**keys: Any) -> Connection:
    """A row that tells no processes."""
    return made(**{**NO_OWNER, **keys})


def lsof(owner: Owner = LSOF, **keys: Any) -> Connection:
    """A row that tells a process, and no queues."""
    held = {
        "owners": (owner,), "pid": owner.pid, "process": owner.process, "owner_status": "known",
    }  # fmt: skip
    return netstat(**{"uid": 33, "recv_q": None, "send_q": None, **held, **keys})


ENDS: dict[str, Any] = {
    "local_address": "10.0.0.1", "local_port": 443,
    "remote_address": "192.0.2.9", "remote_port": 51000, "state": "ESTABLISHED",
}  # fmt: skip


def test_the_second_tells_who_holds_the_sockets_of_the_first() -> None:
    base = netstat(**ENDS, recv_q=5, send_q=7)
    (joined,) = join([base], [lsof(**ENDS)])
    assert joined == replace(
        base, uid=33, owners=(LSOF,), pid=812, process=LSOF.process, owner_status="known"
    )


def test_what_only_the_second_has_comes_behind() -> None:
    first, other = netstat(**ENDS), lsof(**{**ENDS, "remote_port": 51001})
    assert join([first], [other]) == [first, other]


def test_a_socket_of_several_processes() -> None:
    owners = [Owner(900, "b", 4), Owner(811, "a", 4), Owner(811, "a", 3)]
    (joined,) = join([netstat(**ENDS)], [lsof(owner, **ENDS) for owner in owners])
    assert joined.owners == (Owner(811, "a", 3), Owner(811, "a", 4), Owner(900, "b", 4))
    assert (joined.pid, joined.process) == (811, "a")


def test_a_process_without_its_descriptor_gets_it_and_the_name_that_is_not_cut() -> None:
    base = lsof(Owner(812, "nginx: master pr", None), **ENDS, recv_q=0)
    (joined,) = join([base], [lsof(**ENDS)])
    assert joined.owners == (LSOF,)


@pytest.mark.parametrize(
    ("of_netstat", "of_lsof"),
    [
        ({"local_address": "127.0.0.1"}, {"local_address": "127.0.0.1", "family": "ipv6"}),
        ({"local_address": "127.0.0.1"}, {"local_address": "::ffff:127.0.0.1", "family": "ipv6"}),
        ({"local_address": "fe80::1%lo0"}, {"local_address": "fe80:5::1"}),
        ({"local_address": "fe80::aede:48ff%en5"}, {"local_address": "fe80:b::aede:48ff"}),
        ({"local_address": "fe80::1%lo0"}, {"local_address": "fe80::1"}),
        ({"local_address": "0.0.0.0"}, {"local_address": "::", "family": "ipv6"}),
        ({"local_address": "::"}, {"local_address": None}),
    ],
)
def test_the_same_address_in_other_spellings(
    of_netstat: dict[str, Any], of_lsof: dict[str, Any]
) -> None:
    base = netstat(**{**ENDS, **of_netstat})
    (joined,) = join([base], [lsof(**{**ENDS, **of_lsof})])
    assert (joined.pid, joined.local_address) == (812, base.local_address)


def test_an_address_that_netstat_cut_is_made_whole() -> None:
    cut, whole = "2603:6010:7c00:4", "2603:6010:7c00:4d2::15"
    (joined,) = join([netstat(**{**ENDS, "local_address": cut})],
                     [lsof(**{**ENDS, "local_address": whole})])  # fmt: skip
    assert (joined.local_address, joined.pid) == (whole, 812)


def test_another_address_is_another_socket() -> None:
    base = netstat(**{**ENDS, "local_address": "2603:6010:7c00:4"})
    other = lsof(**{**ENDS, "local_address": "2603:6010:7c01::15"})
    assert join([base], [other]) == [base, other]


def test_of_sockets_that_look_alike_each_gets_its_own_process() -> None:
    listeners = [netstat(**ENDS, send_q=1), netstat(**ENDS, send_q=2)]
    first, second = join(listeners, [lsof(**ENDS), lsof(Owner(900, "b", 4), **ENDS)])
    assert (first.pid, second.pid) == (812, 900)
    assert (first.send_q, second.send_q) == (1, 2)


def test_the_process_that_netstat_names_decides_between_sockets_that_look_alike() -> None:
    rows = [lsof(Owner(900, "b", None), **ENDS), lsof(Owner(812, "nginx", None), **ENDS)]
    first, second = join(rows, [lsof(**ENDS), lsof(Owner(900, "b", 4), **ENDS)])
    assert (first.owners, second.owners) == ((Owner(900, "b", 4),), (LSOF,))


def test_the_family_decides_between_listeners_on_both() -> None:
    listen = {**ENDS, "remote_address": None, "remote_port": None, "state": "LISTEN"}
    both = [
        netstat(**{**listen, "local_address": "0.0.0.0", "family": "ipv4"}),
        netstat(**{**listen, "local_address": "::", "family": "ipv6"}),
    ]
    ipv6 = lsof(**{**listen, "local_address": "::", "family": "ipv6"})
    ipv4, joined = join(both, [ipv6])
    assert (ipv4.pid, joined.pid) == (None, 812)


def test_the_family_decides_also_where_one_process_listens_on_both() -> None:
    listening: dict[str, Any] = {"state": "LISTEN", "remote_address": None, "remote_port": None}
    base = [
        netstat(family="ipv4", local_address="0.0.0.0", local_port=22, **listening),
        netstat(family="ipv6", local_address="::", local_port=22, **listening),
    ]
    held = [
        lsof(family="ipv6", local_address="::", local_port=22, dual_stack=False, **listening),
        lsof(family="ipv4", local_address="0.0.0.0", local_port=22, **listening),
    ]
    joined = join(base, held)
    assert [c.family for c in joined] == ["ipv4", "ipv6"]
    assert [c.owners for c in joined] == [(LSOF,), (LSOF,)]
    assert [c.dual_stack for c in joined] == [UNSET, False]


def test_what_only_a_listener_has_is_not_given_to_another_socket() -> None:
    bound = netstat(state="BOUND", exposure=None, remote_address=None, remote_port=None)
    taken = replace(bound, state="LISTEN", exposure="private", owners=(LSOF,))
    (joined,) = join([bound], [taken])
    assert (joined.state, joined.exposure, joined.owners) == ("BOUND", None, (LSOF,))


def test_sockets_with_different_inodes_are_not_the_same() -> None:
    first, other = netstat(**{**ENDS, "inode": 1}), lsof(**{**ENDS, "inode": 2})
    assert join([first], [other]) == [first, other]


def test_unix_sockets_by_inode_or_path() -> None:
    none = dict.fromkeys(("local_port", "remote_port", "remote_address"))
    unix: dict[str, Any] = {"protocol": "unix", "family": "unix", "state": "LISTEN", **none}
    base = [
        netstat(**unix, local_address="/run/a", inode=5),
        netstat(**unix, local_address="/run/b"),
    ]
    others = [
        netstat(**unix, local_address="/run/a", inode=5, uid=0),
        netstat(**unix, local_address="/run/b", uid=7),
        netstat(**unix, local_address=None),
    ]
    assert [record.uid for record in join(base, others)] == [0, 7, None]


def test_nothing_is_lost_and_nothing_comes_twice() -> None:
    rows = [netstat(**{**ENDS, "remote_port": port}) for port in range(100)]
    assert join(rows, rows) == rows
    assert join(rows, []) == rows
    assert join([], rows) == rows


def test_many_sockets_that_look_alike_are_joined_in_time() -> None:
    rows = [netstat(**ENDS)] * 3000
    assert len(join(rows, [lsof(Owner(n, "x", 3), **ENDS) for n in range(1, 3000)])) == 3000
