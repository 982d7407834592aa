"""A tape server of our own: NDMP tape, mover and robot on vtapes and files [ndmp-server]."""
