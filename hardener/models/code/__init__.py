"""A stranger's code: what it says, read and not run; importing it; and what it raises."""
