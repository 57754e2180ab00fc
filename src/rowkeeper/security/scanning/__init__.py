"""Secrets in texts: what is refused as a pipeline file is loaded, and what a scan of a folder finds.

`detect-secrets` (1.5, Apache-2) keeps the rules for the formats of dozens of vendors and for random text. To import it
takes half a second, and random text is a guess, which would keep good files from running: so a file that is loaded is
held to what is certain (`python.py`), and a scan has all (`folder.py`).
"""
