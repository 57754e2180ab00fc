"""Double-entry bookkeeping for data pipelines."""
