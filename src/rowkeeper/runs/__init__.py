"""The life of a run, from open to record, and the reconciler that finishes dead ones."""
