"""What each program loads when it starts, and what it must not: seconds, megabytes, and code that could open a key.

A name in a list below was either loaded once and is not needed, or would come along with one careless import.
"""

import gc
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from custody_app.bootstrap import open_database
from custody_app.config import Settings
from custody_app.loading import loading

POSTGRESQL = "import psycopg, sqlalchemy.dialects.postgresql.psycopg"
"""What SQLAlchemy imports when it is given a URL of PostgreSQL."""

NOBODY = ("alembic", "eth_abi", "eth_account", "eth_keyfile", "eth_utils", "greenlet", "mako", "numpy", "py_ecc", "rlp", "web3")
NOBODY_OF_OURS = ("custody_memory", "custody_app.bootstrap_memory", "custody_app.demo", "custody_app.doctor")
NO_ORM = ("sqlalchemy.ext", "sqlalchemy.orm", "psycopg_pool")
KEYS = ("cffi", "coincurve", "custody_keys", "nacl", "wallycore")
HTTP_SERVER = ("custody_http", "flask", "gunicorn", "jinja2", "prometheus_client", "werkzeug")
SCHEDULE = ("apscheduler", "multiprocessing", "tzlocal")
DATABASE = ("custody_sql", "psycopg", "sqlalchemy")
NODES = ("custody_rpc", "requests", "urllib3")
ALWAYS = (*NOBODY, *NOBODY_OF_OURS, *NO_ORM)

WEB = f"import custody_app.cli.program, custody_app.cli.serve, custody_app.web\n{POSTGRESQL}"
SCANNER = f"import custody_app.cli.program, custody_app.cli.scanner, custody_app.bootstrap_keys\n{POSTGRESQL}"
LOOKING_UP = f"import custody_app.cli.program, custody_app.cli.wallet\n{POSTGRESQL}"
HELP = "import custody_app.cli.program as program; program.run(['--help'])"

SERVING = f"""
import sys
from custody_app.config import Settings
from custody_app.observers import LogObserver
from custody_app.web import open_app

with open_app(Settings(database_url=sys.argv[1]), bytes(32), LogObserver()) as app:
    assert app.test_client().get("/v1/wallets").status_code == 401
{POSTGRESQL}
"""


def loaded_by(program: str, *arguments: str) -> frozenset[str]:
    """The modules in a fresh process at the end of `program`."""
    tell = "import sys; print(); print(*sys.modules)"
    command = [sys.executable, "-c", f"{program}\n{tell}", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return frozenset(ran.stdout.splitlines()[-1].split())


def among(loaded: frozenset[str], unwanted: Sequence[str]) -> set[str]:
    return {each for each in loaded if any(each == name or each.startswith(f"{name}.") for name in unwanted)}


@pytest.mark.parametrize(
    ("program", "needed", "unwanted"),
    [
        pytest.param(WEB, "flask", (*ALWAYS, *KEYS, *SCHEDULE), id="web"),
        pytest.param(SCANNER, "apscheduler", (*ALWAYS, *HTTP_SERVER), id="scanner"),
        pytest.param(LOOKING_UP, "sqlalchemy", (*ALWAYS, *KEYS, *SCHEDULE, *HTTP_SERVER), id="looking up"),
        pytest.param(HELP, "click", (*ALWAYS, *KEYS, *SCHEDULE, *HTTP_SERVER, *DATABASE, *NODES), id="help"),
    ],
)
def test_a_program_loads_what_it_needs_and_no_more(program: str, needed: str, unwanted: Sequence[str]) -> None:
    loaded = loaded_by(program)
    assert needed in loaded
    assert among(loaded, unwanted) == set()


def test_a_web_process_that_serves_has_no_code_that_could_open_a_key(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'custody.db'}"
    with open_database(Settings(database_url=url)) as store:
        store.upgrade()
    assert among(loaded_by(SERVING, url), (*ALWAYS, *KEYS)) == set()


def test_garbage_is_collected_again_after_loading_even_when_that_fails() -> None:
    with loading():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ModuleNotFoundError), loading():
        import custody_app.no_such_module  # type: ignore[import-not-found]  # noqa: F401, PLC0415
    assert gc.isenabled()


def test_what_was_loaded_is_left_out_of_later_searches_for_garbage() -> None:
    program = """
import gc
from custody_app.loading import loading
with loading():
    import custody_core
assert gc.isenabled()
assert gc.get_freeze_count() > 10_000, gc.get_freeze_count()
frozen = gc.get_freeze_count()
with loading():
    import custody_core
assert gc.get_freeze_count() == frozen
"""
    assert "custody_core" in loaded_by(program)
