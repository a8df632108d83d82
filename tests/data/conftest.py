"""The analytic rooms, on one thread."""

from tests.room import artifacts, one_thread  # noqa: F401
