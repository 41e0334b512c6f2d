"""The names that the calls of step 06 use.

The file is one for all of the lesson: what a call has stored, a later one finds.
"""

from uuid import UUID

from saje.model import JobState, NewJob, Outcome, new_uid
from saje.sqlite import SQLiteBackend

backend = SQLiteBackend("calls.db")
uid = UUID("01936b1c-5e80-7c3a-9d52-3f6a0b8c4d21")
