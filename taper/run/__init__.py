"""The reactor side: the only place where concrete classes meet."""
