"""What the cloner, the launcher and `siteferry doctor` must agree on about cells: the control protocol, the level."""
