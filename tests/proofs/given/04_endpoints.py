"""The names that the calls of step 04 use."""

from saje.task import Task
