"""Where rows come from: each source in a room of its own."""
