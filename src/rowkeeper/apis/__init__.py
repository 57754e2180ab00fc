"""APIs that speak JSON over HTTP, as sources and destinations ask them alike: requests, their answers, JSONPath."""
