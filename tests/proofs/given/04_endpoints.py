"""The names that the calls of step 04 use."""
