"""Where rows go: each destination states its guarantee."""
