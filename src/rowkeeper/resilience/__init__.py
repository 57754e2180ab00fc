"""How one call survives: retry, budget, breaker, deadline, hedging; and the failpoints of the tests."""
