"""The names that the calls of step 07 use.

The file is one for all of the lesson: what a call has stored, a later one finds.
"""

from saje.model import NewJob, new_uid
from saje.scheduler import Scheduler
from saje.sqlite import SQLiteBackend
from saje.wake import Bell, new_tokens

backend = SQLiteBackend("calls.db", workers=2)
tokens = new_tokens()
bell = Bell(tokens)
