"""Settings that all tests share."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Nothing in a test is timed: the machines are shared. The interpreters beside the first one try
# fewer examples (scripts/test-others); the fuzz targets of `make soak` go further.
for name, count in (("netinspect", 50), ("brief", 10)):
    settings.register_profile(
        name,
        deadline=None,
        max_examples=count,
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.load_profile("netinspect")
