"""The 3D network on plain torch beside MinkowskiEngine."""
