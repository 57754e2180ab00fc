"""Backups restored: to a point in time, into an empty place, over what is there, or to see whether it can be done."""
