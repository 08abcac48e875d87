"""Names of users and interfaces, each looked up once."""

from __future__ import annotations

import os
import socket
from importlib import import_module
from types import ModuleType

from netinspect.model import decode_name


def _user_database() -> ModuleType | None:
    try:
        return import_module("pwd")
    except ImportError:  # Windows
        return None


PWD = _user_database()


class UserNames(dict[int, "str | None"]):
    """User name by uid, from the user database; None where it has no such user."""

    def __missing__(self, uid: int) -> str | None:
        self[uid] = name = _user_name(uid)
        return name


def _user_name(uid: int) -> str | None:
    if PWD is None:
        return None
    try:
        return decode_name(os.fsencode(PWD.getpwuid(uid).pw_name))
    except (KeyError, OverflowError):
        return None


def user_exists(user: str) -> bool:
    """Whether the user database has this name or uid; True where there is no such database."""
    if PWD is None:
        return True
    try:
        PWD.getpwuid(int(user)) if user.isdecimal() else PWD.getpwnam(user)
    except (KeyError, OverflowError, ValueError):  # the last for a number of 5,000 digits
        return False
    return True


class InterfaceNames(dict[int, str]):
    """Interface name by index; the index itself, as text, when the interface is gone."""

    def __missing__(self, index: int) -> str:
        try:
            name = decode_name(os.fsencode(socket.if_indextoname(index)))
        except OSError:
            name = str(index)
        self[index] = name
        return name
