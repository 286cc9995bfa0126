"""Bodies are read in many threads."""

from tests.support.threads import run_at_once

READING = """
import sys, types
from custody_http.parse import read_body

SCHEMA = '''
from __future__ import annotations
from typing import Annotated
import msgspec

class Inner(msgspec.Struct, forbid_unknown_fields=True):
    a: Annotated[str, msgspec.Meta(max_length=5)] | None = None

class Schema(msgspec.Struct, forbid_unknown_fields=True):
    text: Annotated[str, msgspec.Meta(max_length=50)]
    one: Inner | None = None
    many: list[Inner] | None = None
'''

def prepared(number):
    module = types.ModuleType(f"schemas{number}")
    sys.modules[module.__name__] = module
    exec(compile(SCHEMA, module.__name__, "exec", dont_inherit=True), module.__dict__)

    def work():
        read = read_body(b'{"text": "x", "one": {"a": "b"}, "many": [{}]}', "application/json", module.Schema)
        assert read.one.a == "b"

    return work
"""


def test_threads_that_meet_a_schema_for_the_first_time_at_once_all_read_it() -> None:
    ended = run_at_once(READING, rounds=200)
    assert (ended.returncode, ended.stderr) == (0, "")
