"""``make bench``: our taper against Amanda's own, as whole processes, in interleaved pairs."""
