"""Somebody's own code, called as it is: its arguments, what it returns and what it changes."""
