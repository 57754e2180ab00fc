"""`make bench`: ratios to a raw INSERT ... SELECT FROM file(), and peak memory."""
