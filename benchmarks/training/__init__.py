"""One pretraining step beside a step as the peer makes it."""
