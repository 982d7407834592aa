"""What is written on: devices and changers behind small interfaces.

They are plain blocking classes, run in a lane (a thread) by :mod:`devices.lane`.
"""
