"""``make bench``: our taper beside Amanda's own and plain loops, in rounds of one run of each."""
