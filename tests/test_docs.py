"""What a user reads says what there is, and only that."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from netinspect.cli.app import COMMANDS, program
from netinspect.cli.exit_status import ExitStatus
from netinspect.render.columns import KEYS, PARTS, WITH_PARTS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
# As it reads: without the requests and the escapes of roff
MAN = re.sub(
    r"\\(-|fI|fR)", lambda m: "-" if m[1] == "-" else "", (ROOT / "man/netinspect.1").read_text()
)
TEXTS = {"README": README, "man page": MAN}


def command(name: str) -> click.Command:
    found = program.get_command(click.Context(program), name)
    assert found is not None
    return found


def options(name: str) -> list[click.Option]:
    return [p for p in command(name).params if isinstance(p, click.Option)]


ALL_OPTIONS = sorted({word for name in COMMANDS for o in options(name) for word in o.opts})


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_described(name: str, text: str) -> None:
    assert re.search(rf"\b{name}\b", TEXTS[text])


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("word", [*ALL_OPTIONS, "-h", "--help", "--version"])
def test_every_option_is_described(word: str, text: str) -> None:
    assert re.search(rf"(?<![\w-]){word}(?![\w-])", TEXTS[text])


@pytest.mark.parametrize("text", TEXTS)
def test_no_other_option_is(text: str) -> None:
    mentioned = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXTS[text]))
    assert mentioned - {*ALL_OPTIONS, "--help", "--version"} == set()


@pytest.mark.parametrize("text", TEXTS)
def test_every_key_of_the_record_is_described(text: str) -> None:
    for key in KEYS:
        assert re.search(rf"\b{key}\b", TEXTS[text]), key


@pytest.mark.parametrize("text", TEXTS)
def test_every_part_of_what_extended_adds_is_described(text: str) -> None:
    for key in WITH_PARTS:
        for part in PARTS[key].__struct_fields__:
            assert re.search(rf"\b{part}\b", TEXTS[text]), part


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("status", list(ExitStatus))
def test_every_exit_status_is_described(status: ExitStatus, text: str) -> None:
    assert re.search(rf"\b{int(status)}\b", TEXTS[text])


def test_the_example_in_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})  # noqa: S102 it is ours
    assert capsys.readouterr().err == ""


def test_the_man_page_has_this_version() -> None:
    from netinspect import __version__

    assert f'"netinspect {__version__}"' in MAN
