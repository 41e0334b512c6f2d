"""The one exception that the runner raises on purpose."""


class WorkshopError(Exception):
    """Something that the user can put right: what happened, and then what to do.

    Its text is all that the user sees, without a traceback.
    """
