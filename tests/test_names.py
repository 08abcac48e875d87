from __future__ import annotations

import socket
import sys

import pytest

from netinspect.sources.names import InterfaceNames, UserNames, user_exists

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a user database")

NO_UID = 4294967294


def test_a_user_has_a_name() -> None:
    users = UserNames()
    assert users[0] == "root"
    assert users == {0: "root"}


@pytest.mark.parametrize("uid", [NO_UID, 4294967295, 2**64])
def test_a_user_without_a_name_is_none_and_remembered(uid: int) -> None:
    users = UserNames()
    assert users[uid] is None
    assert users == {uid: None}


@pytest.mark.parametrize("user", ["root", "0", "00"])
def test_users_that_exist(user: str) -> None:
    assert user_exists(user)


@pytest.mark.parametrize(
    "user", ["no-such-user-here", str(NO_UID), str(2**64), "9" * 5000, "", "\udcff"], ids=ascii
)
def test_users_that_do_not_exist(user: str) -> None:
    assert not user_exists(user)


def test_interfaces_have_names() -> None:
    names = InterfaceNames()
    for index, name in socket.if_nameindex():
        assert names[index] == name
    assert len(names) == len(socket.if_nameindex())


@pytest.mark.parametrize("index", [2**31 - 1, 2**32 - 1])
def test_an_interface_that_is_gone_keeps_its_number(index: int) -> None:
    assert InterfaceNames()[index] == str(index)
