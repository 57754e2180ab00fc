"""How one call survives: failpoints now; retry, breaker and deadlines in a later issue."""
