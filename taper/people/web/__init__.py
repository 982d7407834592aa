"""``taperctl web``: pages for a browser, and metrics. Everything is read, nothing is written."""
