"""``taper-recovery``: what Amanda's ``amandad`` starts to serve ``amrecover``."""
