"""`rowkeeper worker`: schedules and the reconciler, again and again, each piece of work in a process of its own."""
