"""The completion scripts in the real shells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

BASH = r"""
source "$1"
COMP_WORDS=(${2}); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
[ "${2: -1}" = " " ] && { COMP_WORDS+=(""); COMP_CWORD=$((COMP_CWORD + 1)); }
_netinspect_completion netinspect 2>/dev/null
printf '%s\n' "${COMPREPLY[@]}"
"""
# What the script defines is called with the words that zsh would give it, and compadd shows them.
ZSH = r"""
compdef() { :; }
compadd() { while [ "$1" != -a ]; do shift; done; print -l -- ${(P)2}; }
_describe() { local name=$3; print -l -- ${${(P)name}%%:*}; }
source "$1"
words=(${=2}); [ "${2[-1]}" = " " ] && words+=("")
CURRENT=$#words
_netinspect_completion
"""


def complete_in_bash(script: Path, line: str) -> str:
    return shell(["bash", "--norc", "-c", BASH, "bash", str(script), line], script)


def complete_in_zsh(script: Path, line: str) -> str:
    return shell(["zsh", "-f", "-c", ZSH, "zsh", str(script), line], script)


def complete_in_fish(script: Path, line: str) -> str:
    command = f"source {script}; complete -C '{line}'"
    return shell(["fish", "--no-config", "-c", command], script)


def shell(command: list[str], script: Path) -> str:
    path = f"{script.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "HOME": str(script.parent)}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, env=environment
    )
    return done.stdout


SHELLS: dict[str, Callable[[Path, str], str]] = {
    "bash": complete_in_bash,
    "zsh": complete_in_zsh,
    "fish": complete_in_fish,
}


@pytest.fixture(params=list(SHELLS))
def complete(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], set[str]]:
    """The words that a shell offers for a line."""
    name = request.param
    if not shutil.which(name):
        pytest.skip(f"{name} is not installed")
    program = tmp_path / "netinspect"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m netinspect "$@"\n')
    program.chmod(0o755)
    script = tmp_path / f"completion.{name}"
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-m", "netinspect", "completion", name],
        capture_output=True,
        check=True,
        cwd=root,
    )
    script.write_bytes(done.stdout)
    # the shim runs from the folder of the test: it must find the package all the same
    program.write_text(f'#!/bin/sh\nPYTHONPATH={root} exec {sys.executable} -m netinspect "$@"\n')

    def offered(line: str) -> set[str]:
        lines = SHELLS[name](script, line).splitlines()
        return {word.split("\t")[0].strip() for word in lines if word.strip()}

    return offered


def test_commands(complete: Callable[[str], set[str]]) -> None:
    assert complete("netinspect translate --to free") == {"freebsd"}
    assert complete("netinspect ex") == {"explain"}
    assert complete("netinspect explain --on fr") == {"freebsd"}
    assert complete("netinspect s") == {"summary", "schema", "states"}


def test_options_of_the_default_command(complete: Callable[[str], set[str]]) -> None:
    assert complete("netinspect --li") == {"--listening", "--limit"}


def test_options_of_a_command(complete: Callable[[str], set[str]]) -> None:
    assert complete("netinspect summary --rp") == {"--rport"}


def test_states(complete: Callable[[str], set[str]]) -> None:
    assert complete("netinspect --state ti") == {"time-wait"}


def test_the_last_of_several_states(complete: Callable[[str], set[str]]) -> None:
    assert complete("netinspect -s listen,close-w") == {"listen,close-wait"}


def test_protocols_after_another_option(complete: Callable[[str], set[str]]) -> None:
    assert complete("netinspect -l --proto udp") == {"udp", "udp4", "udp6"} | {
        "udplite",
        "udplite4",
        "udplite6",
    }


def test_exposures_and_directions(complete: Callable[[str], set[str]]) -> None:
    assert complete("netinspect --exposure any,l") == {"any,loopback", "any,link"}
    assert complete("netinspect summary --direction in") == {"inbound"}


def test_formats(complete: Callable[[str], set[str]]) -> None:
    assert {"json", "jira"} <= complete("netinspect -o j")


def test_columns(complete: Callable[[str], set[str]]) -> None:
    assert complete("netinspect --columns local_") == {"local_address", "local_port"}


def test_the_keys_of_groups(complete: Callable[[str], set[str]]) -> None:
    assert complete("netinspect summary --by state,remote_a") == {"state,remote_address"}
    assert complete("netinspect summary --by process --sort wai") == {"waiting"}


def test_experiments(complete: Callable[[str], set[str]]) -> None:
    assert complete("netinspect lab s") == {"states", "syn-flood"}
    assert complete("netinspect lab time-wait --mode undrained-") == {
        "undrained-small",
        "undrained-large",
    }


def test_shells(complete: Callable[[str], set[str]]) -> None:
    assert complete("netinspect completion ") == {"bash", "zsh", "fish"}


def test_the_options_of_port(complete: Callable[[str], set[str]]) -> None:
    assert complete("netinspect port 80 --no") == {"--no-probe"}
    assert complete("netinspect port 80 --proto tcp,u") == {"tcp,udp", "tcp,udp4", "tcp,udp6"}


def test_the_languages_of_advice(complete: Callable[[str], set[str]]) -> None:
    assert complete("netinspect time-wait --advice go,p") == {"go,python", "go,php"}


def test_other_systems_and_their_programs(complete: Callable[[str], set[str]]) -> None:
    assert complete("netinspect as fre") == {"freebsd"}
    assert complete("netinspect as freebsd ") == {"netstat", "sockstat"}


def test_dialects(complete: Callable[[str], set[str]]) -> None:
    assert complete("netinspect compare --dialects gnu,") >= {"gnu,ss", "gnu,windows"}
