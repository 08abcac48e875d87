"""Lines of /proc/<pid>/cgroup as each runtime makes them, with its defaults."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netinspect.errors import ParseError
from netinspect.parse.cgroup import Place, parse_cgroup

ID = "3f9c0a7d5b21e4c8f6a09b1d2c3e4f5061728394a5b6c7d8e9f0a1b2c3d4e5f6"
INNER = "aa" * 32
POD = "pod1f2e3d4c-5b6a-7980-8f9e-0a1b2c3d4e5f"
LAST_SLICE = "kubepods-burstable-pod1f2e3d4c_5b6a_7980_8f9e_0a1b2c3d4e5f.slice"
POD_SLICE = f"kubepods.slice/kubepods-burstable.slice/{LAST_SLICE}"
USER = "/user.slice/user-1000.slice/user@1000.service"
LONG_NAME = "a" * 247

UNITS = {
    "system service": ("0::/system.slice/nginx.service", "nginx.service"),
    "delegated": ("0::/system.slice/foo.service/worker/1", "foo.service"),
    "own slice": ("0::/web.slice/web-front.slice/app@1.service", "app@1.service"),
    "template with an escape": (
        r"0::/system.slice/system-getty.slice/getty@tty\x2d1.service",
        r"getty@tty\x2d1.service",
    ),
    "user service": (f"0::{USER}/app.slice/pipewire.service", "pipewire.service"),
    "user scope": (
        rf"0::{USER}/app.slice/app-gnome-org.mozilla\x2dfirefox-4242.scope",
        r"app-gnome-org.mozilla\x2dfirefox-4242.scope",
    ),
    "user manager": (f"0::{USER}/init.scope", "user@1000.service"),
    "user manager before 205": (f"0::{USER}", "user@1000.service"),
    "session": ("0::/user.slice/user-1000.slice/session-3.scope", "session-3.scope"),
    "pid 1": ("0::/init.scope", "init.scope"),
    "root": ("0::/", None),
    "only slices": ("0::/system.slice/foo.slice", None),
    "no unit": ("0::/foo/nginx.service", None),
    "a name that needs an escape in a cgroup": ("0::/system.slice/_cpu.service", "cpu.service"),
    "gone": ("0::/system.slice/nginx.service (deleted)", "nginx.service"),
    "seen from a cgroup namespace": ("0::/../../system.slice/nginx.service", "nginx.service"),
    "first version": (
        "12:cpu,cpuacct:/system.slice\n1:name=systemd:/system.slice/nginx.service",
        "nginx.service",
    ),
    "hybrid": (
        "5:memory:/\n1:name=systemd:/system.slice/nginx.service\n0::/system.slice/nginx.service",
        "nginx.service",
    ),
    "not a kind of unit": ("0::/system.slice/nginx.servic", None),
    "not ASCII": ("0::/system.slice/caf\N{LATIN SMALL LETTER E WITH ACUTE}.service", None),
    "longest": (f"0::/system.slice/{LONG_NAME}.service", f"{LONG_NAME}.service"),
    "too long": (f"0::/system.slice/a{LONG_NAME}.service", None),
}
CONTAINERS = {
    "docker v1": (f"9:memory:/docker/{ID}\n1:name=systemd:/docker/{ID}\n0::/", None, ID, "docker"),
    "docker v2 cgroupfs": (f"0::/docker/{ID}", None, ID, "docker"),
    "docker v2 systemd": (
        f"0::/system.slice/docker-{ID}.scope",
        f"docker-{ID}.scope",
        ID,
        "docker",
    ),
    "docker, systemd inside": (f"0::/docker/{ID}/system.slice/nginx.service", None, ID, "docker"),
    "docker rootless": (
        f"0::{USER}/user.slice/docker-{ID}.scope",
        f"docker-{ID}.scope",
        ID,
        "docker",
    ),
    "docker in the tree of memory only": (
        f"9:memory:/docker/{ID}\n1:name=systemd:/\n0::/system.slice/containerd.service",
        "containerd.service",
        ID,
        "docker",
    ),
    "podman": (
        f"0::/machine.slice/libpod-{ID}.scope/container",
        f"libpod-{ID}.scope",
        ID,
        "podman",
    ),
    "podman rootless": (
        f"0::{USER}/user.slice/libpod-{ID}.scope",
        f"libpod-{ID}.scope",
        ID,
        "podman",
    ),
    "podman cgroupfs": (f"0::/libpod_parent/libpod-{ID}", None, ID, "podman"),
    "podman in a service": (
        f"0::/system.slice/web.service/libpod-payload-{ID}",
        "web.service",
        ID,
        "podman",
    ),
    "conmon is outside": (
        f"0::/machine.slice/libpod-conmon-{ID}.scope",
        f"libpod-conmon-{ID}.scope",
        None,
        None,
    ),
    "containerd in a pod": (
        f"0::/{POD_SLICE}/cri-containerd-{ID}.scope",
        f"cri-containerd-{ID}.scope",
        ID,
        "containerd",
    ),
    "containerd, systemd names in cgroupfs": (
        f"0::/system.slice/containerd.service/{LAST_SLICE}:cri-containerd:{ID}",
        "containerd.service",
        ID,
        "containerd",
    ),
    "containerd without kubernetes": (f"0::/k8s.io/{ID}", None, ID, "containerd"),
    "nerdctl": (f"0::/system.slice/nerdctl-{ID}.scope", f"nerdctl-{ID}.scope", ID, "containerd"),
    "cri-o": (f"0::/{POD_SLICE}/crio-{ID}.scope", f"crio-{ID}.scope", ID, "cri-o"),
    "cri-o cgroupfs": (f"0::/kubepods/besteffort/{POD}/crio-{ID}", None, ID, "cri-o"),
    "conmon of cri-o is outside": (f"0::/kubepods/{POD}/crio-conmon-{ID}", None, None, None),
    "pod cgroupfs": (f"0::/kubepods/burstable/{POD}/{ID}", None, ID, "kubernetes"),
    "pod v1": (
        f"11:memory:/kubepods/burstable/{POD}/{ID}\n1:name=systemd:/kubepods/burstable/{POD}/{ID}",
        None,
        ID,
        "kubernetes",
    ),
    "pod in docker (kind)": (
        f"0::/system.slice/docker-{ID}.scope/kubelet-{LAST_SLICE}/cri-containerd-{INNER}.scope",
        f"docker-{ID}.scope",
        INNER,
        "containerd",
    ),
    "another folder": (f"0::/actions_job/{ID}", None, ID, None),
    "lxc 4": ("0::/lxc.payload.web/system.slice/nginx.service", None, "web", "lxc"),
    "lxc 3": ("0::/lxc.payload/web", None, "web", "lxc"),
    "lxc 2": ("8:memory:/lxc/web\n1:name=systemd:/lxc/web/init.scope", None, "web", "lxc"),
    "proxmox": ("0::/lxc/101/ns/system.slice/postfix.service", None, "101", "lxc"),
    "the monitor of lxc is outside": ("0::/lxc.monitor.web", None, None, None),
    "docker in lxc": (f"0::/lxc.payload.web/docker/{ID}", None, ID, "docker"),
    "nspawn service": (
        "0::/machine.slice/systemd-nspawn@box.service/payload/system.slice/sshd.service",
        "systemd-nspawn@box.service",
        "box",
        "systemd-nspawn",
    ),
    "nspawn by hand": (
        r"0::/machine.slice/machine-my\x2dbox.scope/payload",
        r"machine-my\x2dbox.scope",
        "my-box",
        "systemd-nspawn",
    ),
    "the supervisor of nspawn is outside": (
        "0::/machine.slice/systemd-nspawn@box.service/supervisor",
        "systemd-nspawn@box.service",
        None,
        None,
    ),
    "a virtual machine is none": (
        r"0::/machine.slice/machine-qemu\x2d3\x2dweb.scope/libvirt/emulator",
        r"machine-qemu\x2d3\x2dweb.scope",
        None,
        None,
    ),
    "a name that is hostile": (
        "0::/lxc.payload.\x1b[31m\\",
        None,
        "\x1b[31m\\\\",
        "lxc",
    ),
    "an id that is too short": (f"0::/docker/{ID[:-1]}", None, None, None),
    "an id that is none": (f"0::/docker/{ID[:-1]}g", None, None, None),
}


@pytest.mark.parametrize(("lines", "unit"), UNITS.values(), ids=UNITS)
def test_units(lines: str, unit: str | None) -> None:
    assert parse_cgroup(f"{lines}\n".encode()) == Place(unit, None, None)


@pytest.mark.parametrize(
    ("lines", "unit", "container", "runtime"), CONTAINERS.values(), ids=CONTAINERS
)
def test_containers(
    lines: str, unit: str | None, container: str | None, runtime: str | None
) -> None:
    assert tuple(parse_cgroup(f"{lines}\n".encode())) == (unit, container, runtime)


def test_the_last_line_needs_no_end() -> None:
    assert parse_cgroup(b"0::/init.scope").unit == "init.scope"


def test_nothing_says_nothing() -> None:
    assert parse_cgroup(b"") == Place()


@pytest.mark.parametrize("line", [b"0:/", b"x::/", b"0::init.scope", b"\n"], ids=repr)
def test_what_is_no_line(line: bytes) -> None:
    with pytest.raises(ParseError) as caught:
        parse_cgroup(b"0::/init.scope\n" + line + b"\n")
    found = line.rstrip(b"\n")
    expected = f"/proc/<pid>/cgroup: expected 'NUMBER:NAMES:/PATH', found {found!r}"
    assert str(caught.value) == expected


NAMES = st.sampled_from(
    [
        *("system.slice", "user@1000.service", "nginx.service", "init.scope", "docker", ID, ".."),
        *(f"docker-{ID}.scope", "lxc", "lxc.payload.x", "machine-x.scope", "supervisor", ""),
    ]
) | st.text(st.characters(blacklist_characters="/\n", blacklist_categories=["Cs"]), max_size=9)
LINES = st.lists(
    st.builds(
        lambda kind, names: f"{kind}/{'/'.join(names)}",
        st.sampled_from(["0::", "1:name=systemd:", "4:cpu,cpuacct:"]),
        st.lists(NAMES, max_size=6),
    ),
    max_size=4,
)


@given(LINES)
def test_any_names_can_be_read(lines: list[str]) -> None:
    place = parse_cgroup("".join(f"{line}\n" for line in lines).encode())
    assert place.unit is None or (place.unit.isascii() and "/" not in place.unit)
    assert place.runtime is None or place.container


@given(st.binary() | st.lists(st.sampled_from(b"0:/\n\\x2dmachine-.scope")).map(bytes))
def test_nothing_but_a_parse_error(raw: bytes) -> None:
    with suppress(ParseError):
        assert isinstance(parse_cgroup(raw), Place)
