"""Weights of other projects as this one's: released checkpoints in, ResNets out."""
