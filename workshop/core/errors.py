"""The one exception that the runner raises on purpose."""


class WorkshopError(Exception):
    """Something the user can put right.

    Its text is shown as it is, without a traceback: what is wrong, and what to do.
    """
