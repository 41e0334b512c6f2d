"""Short forms of faults.py and simulated_day.py, which are programs of their own."""

from tests.proofs import faults, simulated_day


def test_no_accepted_job_is_lost() -> None:
    """Whatever is killed or locked, each accepted job succeeds in the end."""
    assert faults.main(rounds=4, seed=8) == 0


def test_a_job_a_slot_and_an_end_for_each() -> None:
    """Whoever dies, each job ends, and each slot has one job."""
    assert simulated_day.main(hours=3) == []
