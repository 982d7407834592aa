"""The scan algorithms: which volume is written next."""
