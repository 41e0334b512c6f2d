"""A short form of faults.py, which is a program of its own for longer runs."""

from tests.proofs import faults


def test_no_accepted_job_is_lost() -> None:
    """Whatever is killed or locked, each accepted job succeeds in the end."""
    assert faults.main(rounds=4, seed=8) == 0
