"""The server's half of a recovery: what ``amidxtaped`` says to ``amrecover`` [recovery 6]."""
