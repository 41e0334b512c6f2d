"""The runner of the workshop: ``python3 -m workshop``."""
