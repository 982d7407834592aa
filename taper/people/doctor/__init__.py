"""``taperctl doctor``: what is wrong, or risky, with a configuration and what it works with."""
