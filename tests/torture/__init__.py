"""Fault injection: disks that fail, processes that die, power that goes. `python -m tests.torture` runs it all.

faults.py      what a fault is, and the counter that decides when it strikes (no FUSE in it)
faultfs.py     the faulty filesystem itself: a process of its own
mounting.py    starts, arms and unmounts it; says why it cannot where it cannot
powerloss.py   ext4 on a loop file, copied while it runs: what was not synced is gone
processes.py   finding, freezing and killing what a workload started
workload.py    the seam: what is tortured; rehearsals.py and product.py stand behind it
judging.py     what a disturbed run may leave, and what counts as lost, doubled, half published, stranded
stage.py       one workload in one folder, brought back to the state before for each point
planning.py    which points are tried, in which order;  proving.py: tries them, on several stages at once
forking.py     starts the product without the second that its imports take
sweep.py       a fault at each operation;  kills.py: a kill at a random moment;  watching.py: a reader meanwhile
"""
