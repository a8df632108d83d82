"""The geometry artifacts beside the peer's way of making and reading them."""
