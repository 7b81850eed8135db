"""Looks at a machine before tilewatch runs on it: what is there, what will be used, what is in the way."""
