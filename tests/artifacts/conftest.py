"""The artifacts of the analytic room."""

from tests.raw_room import artifacts_dir, raw_dir  # noqa: F401
