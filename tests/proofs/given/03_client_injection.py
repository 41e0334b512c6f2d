"""The names that the calls of step 03 use."""

from queue import Queue

from saje.client import SajeClient

saje = SajeClient(Queue())
