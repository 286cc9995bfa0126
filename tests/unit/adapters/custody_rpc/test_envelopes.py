"""Replies are read in many threads."""

from tests.support.threads import run_at_once

READING = """
import msgspec
from custody_rpc.envelopes import Result, decode

def prepared(number):
    fields = [(f"field{each}", int | str | None, None) for each in range(12)]
    wanted = msgspec.defstruct(f"Wanted{number}", fields)

    def work():
        (reply,) = decode(b'{"id": 1, "result": {"field0": 1, "field5": "x", "field11": null}}', [1], wanted)
        assert isinstance(reply, Result)

    return work
"""


def test_threads_that_meet_a_type_for_the_first_time_at_once_all_read_it() -> None:
    ended = run_at_once(READING, rounds=200)
    assert (ended.returncode, ended.stderr) == (0, "")
