"""One experiment from its beginning to its end."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from importlib import import_module

from netinspect.errors import SourceError, UsageError
from netinspect.lab.bench import Bench
from netinspect.lab.catalog import (
    DEFAULT_REQUESTS,
    DEFAULT_REQUESTS_SHARED,
    EXPERIMENTS,
    LONGEST_TRAFFIC_S,
    MOST_REQUESTS_SHARED,
    Experiment,
    Setup,
)
from netinspect.lab.event import Event
from netinspect.lab.isolation import Place, enter_private_network

Run = Callable[[Bench, Setup], Iterator[Event]]


def run_experiment(name: str, setup: Setup) -> Generator[Event, None, None]:
    """Do the experiment; this process moves to a network of its own for it, if that is permitted.

    Closing the iterator ends all that was started.

    :param name: one of EXPERIMENTS.
    :raises UsageError: it would be too much for a network that is shared.
    :raises SourceError: it cannot be done here, or the sockets cannot be read.
    """
    experiment = EXPERIMENTS[name]
    check_system(name, experiment, sys.platform)
    run: Run = import_module(f"netinspect.lab.{name.replace('-', '_')}").run
    place = enter_private_network()
    check_place(name, experiment, place)
    setup = sized(name, setup, place)
    with ExitStack() as stack:
        bench = Bench(name, place, stack, setup.hold_seconds)
        yield bench.say("place", _describe(place))
        try:
            yield from run(bench, setup)
            yield _command(bench, experiment)
            yield from _hold(bench)
        except OSError as error:  # what becomes of the events is not raised in here
            raise SourceError(f"{name} cannot be done here: {error.strerror or error}") from error


def check_system(name: str, experiment: Experiment, platform: str) -> None:
    """Refuse what this system has no means for.

    :param platform: as `sys.platform` has it.
    :raises SourceError: this experiment needs another one.
    """
    if experiment.needs and platform != "linux":
        raise SourceError(f"{name} runs on Linux only: it needs {experiment.needs}")
    if platform == "win32":
        raise SourceError(f"{name} cannot run on Windows: its processes are made by fork()")


def check_place(name: str, experiment: Experiment, place: Place) -> None:
    """Refuse what would be felt outside.

    :raises SourceError: this experiment needs a network of its own.
    """
    if experiment.is_private and not place.is_private:
        raise SourceError(
            f"{name} runs in a network namespace of its own only, because it needs "
            f"{experiment.needs}; {place.reason}: run it as root"
        )


def sized(name: str, setup: Setup, place: Place) -> Setup:
    """The setup with its defaults for this place.

    :raises UsageError: it is too large.
    """
    requests = setup.requests
    if not place.is_private and requests and requests > MOST_REQUESTS_SHARED:
        raise UsageError(
            f"--requests {requests}: at most {MOST_REQUESTS_SHARED} on the machine's own loopback "
            f"({place.reason})"
        )
    if name != "time-wait":
        return setup
    if requests is None:
        requests = DEFAULT_REQUESTS if place.is_private else DEFAULT_REQUESTS_SHARED
    if requests > setup.rate * LONGEST_TRAFFIC_S:
        raise UsageError(
            f"{requests} requests at {setup.rate} a second take longer than {LONGEST_TRAFFIC_S} "
            "seconds: fewer --requests, or a higher --rate"
        )
    return setup._replace(requests=requests)


def _describe(place: Place) -> str:
    if place.is_private:
        whose = " (and user namespace)" if place.kind == "user_namespace" else ""
        return (
            f"In a network namespace{whose} of its own: nothing of it reaches this machine's "
            "network, and it vanishes at the end."
        )
    return (
        f"On this machine's own loopback ({place.reason}): smaller, no setting is changed, and "
        "what is left in TIME_WAIT goes away within a minute."
    )


def _command(bench: Bench, experiment: Experiment) -> Event:
    """What shows the same; in full where there is time to type it in another terminal."""
    words = [*experiment.reveals]
    if not bench.place.is_private:
        words += ["--port", ",".join(map(str, bench.ports))]
    if not bench.hold_seconds:
        shown = shlex.join(["netinspect", *words])
        return bench.say("command", f"What shows it: {shown}   (--hold 60 gives time to look)")
    command = shlex.join([*_enter(bench.place), *_program(), *words])
    who = ", as root" if bench.place.kind == "namespace" else ""
    return bench.say("command", f"In another terminal{who}:  {command}", command=command)


def _enter(place: Place) -> list[str]:
    """What runs a command in this process's network: nsenter(1)."""
    if place.kind == "namespace":
        return ["nsenter", "-t", str(os.getpid()), "-n"]
    if place.kind == "user_namespace":
        return ["nsenter", "-t", str(os.getpid()), "-U", "-n", "--preserve-credentials"]
    return []


def _program() -> list[str]:
    """How this program is called, wherever it is installed."""
    return ["netinspect"] if shutil.which("netinspect") else [sys.executable, "-m", "netinspect"]


def _hold(bench: Bench) -> Iterator[Event]:
    if not bench.hold_seconds:
        return
    yield bench.say("hold", f"Held for {bench.hold_seconds} seconds; Ctrl-C ends it.")
    for _ in bench.seconds(bench.hold_seconds):
        if bench.keep:
            bench.keep()
