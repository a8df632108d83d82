"""The analytic rooms: raw, as artifacts, and in a workspace, on one thread."""

from tests.raw_room import artifacts_dir, raw_dir  # noqa: F401
from tests.room import artifacts, enter, one_thread  # noqa: F401
