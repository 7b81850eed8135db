"""How good tracks are, against somebody's ground truth: what `tilewatch eval` prints."""
