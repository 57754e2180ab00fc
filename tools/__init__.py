"""For those who work on Rowkeeper."""
