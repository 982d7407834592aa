"""The data plane: sources, caches and the pump. Threads and buffers, no twisted."""
