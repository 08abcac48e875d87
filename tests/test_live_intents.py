"""The Linux commands of the table of questions, and those that we put together, really run."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from netinspect.teach.ask import ask
from netinspect.teach.getopt import take_apart
from netinspect.teach.knowledge import intents, tools
from netinspect.teach.question import question_of
from tests.namespace import private_network, why_not

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(why_not() is not None, reason=why_not() or ""),
]

LINUX = ("linux_netstat", "linux_ss", "lsof")
# They need a namespace of that name
NAMED = re.compile(r"ip netns exec|ss -N ")
# What says that the command line is wrong, and not only that there is nothing to show
WRONG = re.compile(r"(?i)usage|: invalid|illegal|unrecognized|syntax error|unknown|expected rather")
# What ss and lsof say where SELinux is off, or the kernel lacks one of the tables
NOT_HERE = re.compile(r"SELinux|^RTNETLINK answers: Invalid argument$", re.MULTILINE)
# Those whose commands are translated
FOREIGN = ("macos_netstat",)
COMMANDS = sorted(
    {
        answer.command
        for intent in intents().values()
        for tool in LINUX
        if (answer := intent.commands[tool]).command and not NAMED.search(answer.command)
    }
)


def questions() -> Iterator[str]:
    """What we would type on Linux for each command of the table, whatever system it is for."""
    for intent in intents().values():
        for tool in FOREIGN:
            answer = intent.commands[tool]
            words = shlex.split(re.split(r" \| |; ", answer.command or "")[0])
            if words and words[0] == tools()[tool].program:
                question = question_of(take_apart(tool, words))
                for target in LINUX:
                    asked = ask(question._replace(repeat=None), tools()[target])
                    yield from asked.commands if asked else ()


OURS = sorted({c for c in questions() if not NAMED.search(c)} - set(COMMANDS))


@pytest.fixture(scope="module", autouse=True)
def network() -> Iterator[None]:
    with private_network():
        yield


def run(command: str) -> None:
    for program in ("netstat", "ss", "lsof"):
        if command.startswith(program) and not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    try:
        done = subprocess.run(
            ["sh", "-c", f"exec 2>&1; {command} >/dev/null"],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        pytest.fail(f"{command} does not end")
    assert NOT_HERE.search(done.stdout) or not WRONG.search(done.stdout), done.stdout
    assert done.returncode in (0, 1)  # 1: grep found nothing, or SELinux is off


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_table(command: str) -> None:
    if re.search(r"-tanc|-r 5", command):  # they repeat: one look is enough
        command = command.replace("-tanc", "-tan").replace("-r 5", "-r1c1m=")
    run(command)


@pytest.mark.parametrize("command", OURS)
def test_what_we_would_type(command: str) -> None:
    run(command)
