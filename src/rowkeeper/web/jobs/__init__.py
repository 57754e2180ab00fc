"""Long work: a job with an id, in a process of its own, with progress, to be cancelled.

jobs.py      takes jobs in, starts them as there is room, watches, cancels, stops
child.py     the process: opens the workspace, acts on the caller's behalf, does the work, tells
works.py     what can be done as a job, and by which function
telling.py   what is told of a job while it goes on, and told again to whoever comes back
"""
