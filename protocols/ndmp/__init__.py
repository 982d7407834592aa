"""NDMP, versions 2, 3 and 4, without any input or output [ndmp 4]."""
