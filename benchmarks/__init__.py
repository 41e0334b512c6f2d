"""Measurements of the finished system. README.md lists them.

A module whose name begins with an underscore isn't a benchmark: the others share it.
"""
