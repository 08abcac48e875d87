from __future__ import annotations

import re

from hypothesis import given

from netinspect.model import Owner, ParentProcess
from netinspect.render.escape import UNSAFE_IN_CELL
from netinspect.render.fact_lines import fact_lines
from netinspect.render.listing import Screen
from netinspect.render.owner_facts import owner_facts
from tests.records import HOSTILE_NAMES, made, rendered

FULL = Owner(
    77,
    "java",
    5,
    command_line=("java", "-Dname=my shop", "-jar", "/srv/shop.jar"),
    executable="/usr/bin/java",
    executable_deleted=True,
    parents=(ParentProcess(20, "launcher"), ParentProcess(1, None)),
    user="shop",
    unit="shop.service",
    container="web",
    runtime="lxc",
    started_at="2026-01-02T03:04:05Z",
)


def test_all_facts() -> None:
    assert owner_facts(FULL) == [
        "java(pid=77,fd=5)",
        "command java '-Dname=my shop' -jar /srv/shop.jar",
        "exe /usr/bin/java (deleted)",
        "user shop",
        "unit shop.service",
        "container web (lxc)",
        "started 2026-01-02T03:04:05Z",
        "parents launcher(20) < -(1)",
    ]


def test_only_what_is_known() -> None:
    assert owner_facts(Owner(77, None, None)) == ["-(pid=77)"]
    nothing = Owner(
        77,
        "x",
        3,
        command_line=None,
        executable="/bin/x",
        executable_deleted=False,
        parents=(),
        user=None,
        unit=None,
        container="ab",
        runtime=None,
        started_at=None,
    )
    assert owner_facts(nothing) == ["x(pid=77,fd=3)", "exe /bin/x", "container ab"]


def test_a_title_is_no_command_to_quote() -> None:
    title = Owner(77, "nginx", 3, command_line=("nginx: worker process",))
    assert owner_facts(title)[1:] == ["command nginx: worker process"]


@given(HOSTILE_NAMES)
def test_names_are_escaped(name: str) -> None:
    owner = Owner(
        77,
        name,
        5,
        command_line=(name, name),
        executable=name,
        parents=(ParentProcess(1, name),),
        user=name,
        container=name,
    )
    assert not any(re.search(UNSAFE_IN_CELL, fact) for fact in owner_facts(owner))


def test_below_the_row_of_a_socket() -> None:
    rows = [made(owners=(FULL,), direction="inbound"), made(local_port=5, direction="unknown")]
    assert rendered(rows, columns="local process", is_extended=True) == (
        "LOCAL           PROCESS\n"
        "10.0.0.1:44321  nginx\n"
        "    inbound\n"
        "    java(pid=77,fd=5)  command java '-Dname=my shop' -jar /srv/shop.jar"
        "  exe /usr/bin/java (deleted)  user shop  unit shop.service  container web (lxc)"
        "  started 2026-01-02T03:04:05Z  parents launcher(20) < -(1)\n"
        "10.0.0.1:5      nginx\n"
    )


def test_facts_are_wrapped_to_the_terminal() -> None:
    rows = [made(owners=(FULL, Owner(78, "x", 3, command_line=None)))]
    text = rendered(rows, columns="state", is_extended=True, screen=Screen(width=60))
    assert text == (
        "STATE\n"
        "ESTABLISHED\n"
        "    java(pid=77,fd=5)\n"
        "        command java '-Dname=my shop' -jar /srv/shop.jar\n"
        "        exe /usr/bin/java (deleted)  user shop\n"
        "        unit shop.service  container web (lxc)\n"
        "        started 2026-01-02T03:04:05Z\n"
        "        parents launcher(20) < -(1)\n"
        "    x(pid=78,fd=3)\n"
    )


def test_a_fact_that_is_longer_than_a_line_has_a_line_of_its_own() -> None:
    owner = Owner(78, "x", 3, command_line=("x" * 30,), user="root")
    [text] = fact_lines([made(owners=(owner,))], width=20)
    assert text == f"\n    x(pid=78,fd=3)\n        command {'x' * 30}\n        user root"


def test_a_line_is_as_wide_as_the_terminal() -> None:
    owner = Owner(78, "x", 3, command_line=(), user="root")
    (fits,) = fact_lines([made(owners=(owner,))], width=len("    x(pid=78,fd=3)  user root"))
    assert fits == "\n    x(pid=78,fd=3)  user root"
    (broken,) = fact_lines([made(owners=(owner,))], width=len(fits) - 2)
    assert broken == "\n    x(pid=78,fd=3)\n        user root"


def test_without_anything_more_there_is_no_line() -> None:
    assert list(fact_lines([made(), made()], None)) == ["", ""]
