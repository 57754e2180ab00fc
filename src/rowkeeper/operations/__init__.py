"""Keeping it running: the doctor, and the file to start from."""
