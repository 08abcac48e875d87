"""`netinspect lab`: experiments that make states and faults of sockets appear."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from netinspect.cli.exit_status import ExitStatus
from netinspect.cli.options import OUTPUT, option
from netinspect.cli.output import terminal_width, write
from netinspect.cli.sections import SectionCommand
from netinspect.errors import UsageError
from netinspect.lab.catalog import (
    DEFAULT_MODE,
    DEFAULT_RATE,
    DEFAULT_REQUESTS,
    EXPERIMENTS,
    HIGHEST_RATE,
    LONGEST_HOLD_S,
    MODES,
    MOST_REQUESTS,
    Setup,
    check_experiment,
)

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

TRAFFIC = "Options of time-wait"
EXPERIMENT = "Experiment options"
# Which experiments an option is for; those that are not here are for all.
ONLY_FOR = {
    "mode": ("time-wait",),
    "rate": ("time-wait",),
    "requests": ("time-wait", "port-exhaustion"),
}


def _complete_experiments(
    _context: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [
        CompletionItem(name, help=experiment.title)
        for name, experiment in EXPERIMENTS.items()
        if name.startswith(incomplete)
    ]


@click.command("lab", cls=SectionCommand)
@click.argument(
    "name", metavar="[EXPERIMENT]", required=False, shell_complete=_complete_experiments
)
@option(
    EXPERIMENT,
    "--hold",
    type=click.IntRange(0, LONGEST_HOLD_S),
    metavar="SECONDS",
    default=0,
    help="Keep what was made for so long, and say how to look at it from another terminal.",
)
@option(
    TRAFFIC,
    "--mode",
    type=click.Choice(tuple(MODES)),
    metavar="MODE",
    help=f"What client and server do after each answer: {', '.join(MODES)}; "
    f"{DEFAULT_MODE} without.",
)
@option(
    TRAFFIC,
    "--requests",
    type=click.IntRange(1, MOST_REQUESTS),
    metavar="N",
    help=f"How many; {DEFAULT_REQUESTS} without. Of port-exhaustion: how many connections.",
)
@option(
    TRAFFIC,
    "--rate",
    type=click.IntRange(1, HIGHEST_RATE),
    metavar="N",
    help=f"How many a second; {DEFAULT_RATE} without.",
)
@option(OUTPUT, "--json", "is_json", is_flag=True, help="A JSON object a line.")
def command(name: str | None, **options: Any) -> int:
    """Make states and faults of sockets appear, in a safe place, and explain them.

    Without a name: which experiments there are. Each runs on loopback, in a network namespace of
    its own if that is permitted (root, or where users may make namespaces), changes nothing of this
    machine and ends by itself; Ctrl-C ends it at any time.

    \b
    Examples:
      netinspect lab
      netinspect lab time-wait
      netinspect lab time-wait --mode drained
      netinspect lab time-wait --mode small-pool --requests 2000 --rate 100
      netinspect lab states
      netinspect lab port-exhaustion --requests 40 --hold 60
      netinspect lab accept-queue --json
    """
    if name is None:
        _list_experiments(options)
        return ExitStatus.DONE
    check_experiment(name)
    setup = _setup(name, options)

    from netinspect.lab.report import render_event
    from netinspect.lab.run import run_experiment

    width = terminal_width()
    with closing(run_experiment(name, setup)) as events:
        for event in events:
            write([render_event(event, is_json=options["is_json"], terminal_width=width)])
    return ExitStatus.DONE


def _list_experiments(options: dict[str, Any]) -> None:
    for given in (*ONLY_FOR, "hold"):
        if options[given]:
            raise UsageError(f"--{given} is for an experiment: say which one (see netinspect lab)")

    from netinspect.lab.report import render_catalog

    write([render_catalog(is_json=options["is_json"])])


def _setup(name: str, options: dict[str, Any]) -> Setup:
    """What the options say of this experiment.

    :raises UsageError: an option is for other experiments only.
    """
    for option_name, names in ONLY_FOR.items():
        if options[option_name] is not None and name not in names:
            raise UsageError(f"--{option_name} is for {' and '.join(names)} only, not for {name}")
    return Setup(
        mode=options["mode"] or DEFAULT_MODE,
        requests=options["requests"],
        rate=options["rate"] or DEFAULT_RATE,
        hold_seconds=options["hold"],
    )
