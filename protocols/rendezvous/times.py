"""How long both ends of a rendezvous wait, in seconds, and how much they put up with."""

from __future__ import annotations

PROOF_PATIENCE = 10.0
"""For a connection to prove itself to the taper, however much it says meanwhile."""

CHALLENGE_PATIENCE = 30.0
"""For the taper to answer HELLO."""

ALIVE_SECONDS = 10.0
"""After which either end says that it is there, if it has said nothing else."""

SILENCE = 60.0
"""After which a connection on which nothing comes is taken for broken."""

STORED_SECONDS = 2.0
"""Between two words of the taper on how far the dump is, while bytes move."""

END_PATIENCE = 5.0
"""For an application whose data connection has ended to say END or BROKEN, before it is sent
elsewhere."""

VERDICT_PATIENCE = 10.0
"""Behind the end of a data connection to a device, for an application that is there to say how it
ended."""

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Between two attempts at the same; each pause is twice the one before."""

MOST_UNPROVEN = 16
"""Connections without a proof that a taper holds; the oldest leaves for one more."""
