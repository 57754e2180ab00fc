"""Egress: nothing connects but to what pipelines and settings declare, and to the very address that was checked."""
