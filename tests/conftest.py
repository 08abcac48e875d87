"""Settings that all tests share."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Nothing in a test is timed: the machines are shared. Three interpreters run the whole suite, so
# that 50 examples a test are 150; the fuzz targets of `make soak` go further.
settings.register_profile(
    "netinspect",
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("netinspect")
