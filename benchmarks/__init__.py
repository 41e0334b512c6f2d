"""Measurements of the finished system. `python3 -m workshop bench` lists them.

A module whose name begins with an underscore isn't a benchmark: the others share it.
"""
