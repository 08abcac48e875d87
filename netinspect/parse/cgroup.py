r"""/proc/<pid>/cgroup (cgroups(7)): the systemd unit and the container that a process is in.

    0::/system.slice/nginx.service
    0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-foo\x2dbar.service
    12:memory:/docker/<id>
    0::/kubepods.slice/kubepods-pod<uid>.slice/cri-containerd-<id>.scope

The kernel takes no line end in the name of a cgroup (cgroup_mkdir). Whoever runs a container
chooses the names; those below are the defaults of each runtime.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import dropwhile
from typing import NamedTuple

from netinspect.errors import ParseError
from netinspect.model import Runtime, decode_name

LINE = re.compile(rb"(\d+):([^:]*):(/.*)")
DELETED = b" (deleted)"

# systemd.unit(5): the characters and the kinds
UNIT = re.compile(
    rb"[A-Za-z0-9:_.\\-][A-Za-z0-9:_.\\@-]*\."
    rb"(?:service|scope|socket|mount|swap|slice|target|device|automount|timer|path)"
)
LONGEST_UNIT = 255
USER_MANAGER = re.compile(rb"user@\d+\.service")
ESCAPED_BYTE = re.compile(rb"\\x([0-9a-f]{2})")

# docker-<id>.scope, libpod-<id>, and the systemd form that a runtime told to use cgroupfs takes for
# a name: kubepods-burstable-pod<uid>.slice:cri-containerd:<id>. The monitors, libpod-conmon-<id>
# and crio-conmon-<id>, are outside of their containers.
NAMED_CONTAINER = re.compile(
    rb"(?:[^:]*:)?(docker|libpod|libpod-payload|cri-containerd|nerdctl|crio)"
    rb"[-:]([0-9a-f]{64})(?:\.scope)?"
)
RUNTIMES: dict[bytes, Runtime] = {
    b"docker": "docker",
    b"libpod": "podman",
    b"libpod-payload": "podman",
    b"cri-containerd": "containerd",
    b"nerdctl": "containerd",
    b"crio": "cri-o",
}
# docker/<id>, k8s.io/<id>; kubepods/burstable/pod<uid>/<id>, which any runtime may have made
CONTAINER_ID = re.compile(rb"[0-9a-f]{64}")
FOLDERS: dict[bytes, Runtime] = {b"docker": "docker", b"k8s.io": "containerd"}
# lxc/<name> and lxc.payload/<name>, since LXC 4 lxc.payload.<name>
LXC_FOLDERS = (b"lxc", b"lxc.payload")
LXC_PREFIX = b"lxc.payload."
# machine-<name>.scope and systemd-nspawn@<name>.service; the supervisor is outside
MACHINE = re.compile(rb"machine-(.+)\.scope|systemd-nspawn@(.+)\.service")
SUPERVISOR = b"supervisor"
# What libvirt registers as a machine: qemu-3-<name>
LIBVIRT = re.compile(rb"[a-z]+-\d+-.+")


class Container(NamedTuple):
    """The id of a container, or its name where it has no other, and the runtime if it tells."""

    name: str
    runtime: Runtime | None


class Place(NamedTuple):
    """Where in the tree of services and containers a process is."""

    unit: str | None = None
    container: str | None = None
    runtime: Runtime | None = None


def parse_cgroup(raw: bytes) -> Place:
    r"""The unit and the container.

    The unit is spelt as systemctl takes it, with its `\x2d`. Of a service of a user's own manager
    it is that service, not user@1000.service. Slices are passed over.

    :raises ParseError: a line is not as the kernel prints it.
    """
    paths = dict(_paths(raw))
    # systemd keeps its processes in the second version's tree, or before that in one of its own.
    trees = [paths[kind] for kind in (b"", b"name=systemd") if kind in paths]
    units = [unit for path in trees if (unit := _unit(path))]
    containers = [found for path in [*trees, *paths.values()] if (found := _container(path))]
    name, runtime = containers[0] if containers else (None, None)
    return Place(units[0] if units else None, name, runtime)


def _paths(raw: bytes) -> Iterator[tuple[bytes, list[bytes]]]:
    """The controllers of each tree, none for the second version's, and the names on the way."""
    for line in raw.removesuffix(b"\n").split(b"\n") if raw else ():  # a name may hold \r
        match = LINE.fullmatch(line)
        if match is None:
            raise ParseError(f"/proc/<pid>/cgroup: expected 'NUMBER:NAMES:/PATH', found {line!r}")
        _, controllers, path = match.groups()
        names = path.removesuffix(DELETED).split(b"/")
        # The reader may be in a cgroup namespace: then the way begins with /../
        yield controllers, [name for name in names if name not in (b"", b"..")]


def _unit(path: list[bytes]) -> str | None:
    """As cg_path_get_unit() of systemd, and cg_path_get_user_unit() below a user's manager."""
    below = _without_slices([name.removeprefix(b"_") for name in path])  # cg_unescape()
    if not below or not _is_unit(below[0]):
        return None
    unit = below[0]
    if USER_MANAGER.fullmatch(unit):
        own = _without_slices(below[1:])
        if own and _is_unit(own[0]) and own[0] != b"init.scope":  # that is the manager itself
            unit = own[0]
    return unit.decode("ascii")


def _without_slices(path: list[bytes]) -> list[bytes]:
    return list(dropwhile(lambda name: name.endswith(b".slice"), path))


def _is_unit(name: bytes) -> bool:
    return len(name) <= LONGEST_UNIT and UNIT.fullmatch(name) is not None


def _container(path: list[bytes]) -> Container | None:
    """The innermost: there are containers in containers."""
    for depth in reversed(range(len(path))):
        found = _container_at(path, depth) or _machine(*path[depth : depth + 2])
        if found:
            return found
    return None


def _container_at(path: list[bytes], depth: int) -> Container | None:
    """What the name at this place says."""
    name, folder = path[depth], path[depth - 1] if depth else b""
    if match := NAMED_CONTAINER.fullmatch(name):
        return Container(match[2].decode("ascii"), RUNTIMES[match[1]])
    if CONTAINER_ID.fullmatch(name):
        is_pod = any(above.startswith(b"kubepods") for above in path[:depth])
        runtime: Runtime | None = "kubernetes" if is_pod else FOLDERS.get(folder)
        return Container(name.decode("ascii"), runtime)
    if folder in LXC_FOLDERS:
        return Container(decode_name(name), "lxc")
    if name.startswith(LXC_PREFIX):
        return Container(decode_name(name.removeprefix(LXC_PREFIX)), "lxc")
    return None


def _machine(name: bytes, below: bytes = b"") -> Container | None:
    match = MACHINE.fullmatch(name)
    if match is None or below == SUPERVISOR:
        return None
    escaped = match[1] or match[2]
    machine = ESCAPED_BYTE.sub(lambda escape: bytes.fromhex(escape[1].decode()), escaped)
    if LIBVIRT.fullmatch(machine):
        return None
    return Container(decode_name(machine), "systemd-nspawn")
