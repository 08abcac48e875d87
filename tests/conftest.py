"""Settings that all tests share."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

# Nothing in a test is timed: the machines are shared. `make test` tries the same examples each
# time: it is to tell of the change, not of luck; the interpreters beside the first one try fewer
# (scripts/test-others). `make explore` tries many others.
for name, count in (("netinspect", 50), ("brief", 10), ("explore", 1000)):
    settings.register_profile(
        name,
        deadline=None,
        max_examples=count,
        derandomize=name != "explore",
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.load_profile("netinspect")

# A shell starts what runs in the background with Ctrl-C ignored; all that tests start would be so.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
