"""Backups: what is in one, where they lie, how they are made, listed and verified."""
