"""What the errors of each kind of driver stand for, each kind in a file of its own."""
