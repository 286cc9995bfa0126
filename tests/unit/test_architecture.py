"""The shape of the code, as rules that can fail. Each test's name is the rule; the tables below it are what the rule knows."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import custody_core

SRC = Path(__file__).parents[2] / "src"
CORE = SRC / "custody_core"
ADAPTERS = SRC / "adapters"
ENTRYPOINTS = SRC / "entrypoints"

PURE = frozenset(
    {
        "__future__",
        "array",
        "attrs",
        "base64",
        "bisect",
        "collections",
        "dataclasses",
        "datetime",
        "enum",
        "functools",
        "hashlib",
        "itertools",
        "json",
        "math",
        "operator",
        "re",
        "string",
        "typing",
    }
)
"""What follows from its arguments alone, whatever machine it runs on."""

CODECS = frozenset({"eth_abi", "rlp", "sha3"})
"""What `domain/encoding.py`, and nothing else of the core, may import: Ethereum's byte formats."""

CONTEXT = frozenset({"contextlib", "contextvars", "types"})
"""What services and `Custody` need besides, to open and close things."""

IMPURE_MODULES = frozenset(
    {
        "asyncio",
        "io",
        "logging",
        "multiprocessing",
        "os",
        "pathlib",
        "random",
        "secrets",
        "shutil",
        "signal",
        "socket",
        "sqlite3",
        "ssl",
        "subprocess",
        "sys",
        "tempfile",
        "threading",
        "time",
        "uuid",
    }
)
IMPURE_BUILTINS = frozenset({"__import__", "breakpoint", "compile", "eval", "exec", "input", "open", "print"})
IMPURE_METHODS = frozenset({"now", "today", "utcnow"})
"""Of `datetime` and `date`: the time of day comes in through the `Clock` port."""

FILE_LINES_MAX = 380
FUNCTION_LINES_MAX = 60
EXPORTS_MAX = 60


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def python_files(*folders: Path) -> tuple[Path, ...]:
    return tuple(sorted(path for folder in folders for path in folder.rglob("*.py") if "__pycache__" not in path.parts))


CODE_BUT_MIGRATIONS = [path for path in python_files(CORE, ADAPTERS, ENTRYPOINTS) if "migrations" not in path.parts]


@cache
def imported(path: Path) -> frozenset[str]:
    """Every module that a file names in an import, wherever in the file it stands; `from a import b` also as `a.b`."""
    names: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def tops(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported(path)}


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def strays(path: Path, *allowed: str) -> set[str]:
    """What a file imports of the core outside of `allowed`; a bare package says nothing, what is taken from it does."""
    of_the_core = {name for name in imported(path) if is_within(name, "custody_core")} - {"custody_core", "custody_core.domain"}
    return {name for name in of_the_core if not any(is_within(name, package) for package in allowed)}


def packages(folder: Path) -> set[str]:
    return {path.parent.name for path in folder.glob("custody_*/__init__.py")}


def calls(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call))


def violations(files: Iterable[Path], of: Callable[[Path], object]) -> dict[str, object]:
    """File → what is wrong in it, for those where something is."""
    found = {str(path.relative_to(SRC)): of(path) for path in files}
    assert found, "no file was looked at"
    return {path: wrong for path, wrong in found.items() if wrong}


def test_the_domain_imports_pure_parts_of_the_standard_library_attrs_and_itself() -> None:
    def wrong(path: Path) -> set[str]:
        return tops(path) - PURE - {"custody_core"} - (CODECS if path.name == "encoding.py" else frozenset())

    assert violations(python_files(CORE / "domain"), wrong) == {}


def test_the_domain_never_imports_ports_or_services() -> None:
    files = python_files(CORE / "domain")
    assert violations(files, lambda path: strays(path, "custody_core.domain", "custody_core.errors")) == {}


def test_the_ports_import_the_domain_only() -> None:
    def wrong(path: Path) -> set[str]:
        return strays(path, "custody_core.domain", "custody_core.ports") | (tops(path) - PURE - CONTEXT - {"custody_core"})

    assert violations(python_files(CORE / "ports"), wrong) == {}


def test_the_errors_import_nothing_of_the_project() -> None:
    assert not {name for name in imported(CORE / "errors.py") if name.startswith("custody_")}


def test_services_import_ports_domain_and_each_other_only() -> None:
    def wrong(path: Path) -> set[str]:
        inside = strays(path, "custody_core.domain", "custody_core.ports", "custody_core.errors", "custody_core.services")
        return inside | (tops(path) - PURE - CONTEXT - {"custody_core"})

    assert violations(python_files(CORE / "services"), wrong) == {}


def test_adapters_never_import_the_services_an_entrypoint_or_each_other() -> None:
    def wrong(path: Path) -> set[str]:
        others = (packages(ADAPTERS) | packages(ENTRYPOINTS)) - {path.relative_to(ADAPTERS).parts[0]}
        return tops(path) & others | strays(path, "custody_core.domain", "custody_core.ports", "custody_core.errors")

    assert violations(python_files(ADAPTERS), wrong) == {}


def test_the_core_imports_no_adapter_and_no_entrypoint() -> None:
    outside = packages(ADAPTERS) | packages(ENTRYPOINTS)
    assert violations(python_files(CORE), lambda path: tops(path) & outside) == {}


def test_only_the_composition_roots_name_concrete_adapters() -> None:
    roots = {ENTRYPOINTS / "custody_app" / f"bootstrap{part}.py" for part in ("", "_keys", "_memory")}
    others = [path for path in python_files(ENTRYPOINTS) if path not in roots]
    assert violations(others, lambda path: tops(path) & packages(ADAPTERS)) == {}


def test_the_core_asks_no_disk_network_clock_chance_or_log() -> None:
    def wrong(path: Path) -> set[str]:
        named = {node.func.id for node in calls(path) if isinstance(node.func, ast.Name)}
        return tops(path) & IMPURE_MODULES | named & IMPURE_BUILTINS

    assert violations(python_files(CORE), wrong) == {}


def test_the_core_never_asks_datetime_what_time_it_is() -> None:
    def wrong(path: Path) -> set[str]:
        methods = [node.func for node in calls(path) if isinstance(node.func, ast.Attribute) and node.func.attr in IMPURE_METHODS]
        return {ast.unparse(each) for each in methods if ast.unparse(each.value).split(".")[-1] in {"datetime", "date"}}

    assert violations(python_files(CORE), wrong) == {}


def test_the_domain_calculates_in_whole_numbers() -> None:
    """No float literal, no true division, no `float(…)` or `round(…)`, no Decimal and no Fraction: money has base units."""

    def wrong(path: Path) -> list[str]:
        return [
            ast.unparse(node)
            for node in ast.walk(tree_of(path))
            if (isinstance(node, ast.Constant) and isinstance(node.value, float | complex))
            or (isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div))
            or (isinstance(node, ast.Name) and node.id in {"float", "round", "Decimal", "Fraction"})
            or (isinstance(node, ast.ImportFrom) and node.module in {"decimal", "fractions", "statistics"})
        ]

    assert violations(python_files(CORE / "domain"), wrong) == {}


def test_every_file_of_the_core_opens_with_a_docstring() -> None:
    assert violations(python_files(CORE), lambda path: not ast.get_docstring(tree_of(path))) == {}


def test_a_file_fits_in_one_reading() -> None:
    """A ratchet, set a little above the longest file of its day. What outgrows it holds two matters: give each a room of its own.

    A migration is exempt: it is a list of tables, read once, and never edited after its release.
    """

    def wrong(path: Path) -> int:
        lines = len(path.read_text().splitlines())
        return lines if lines > FILE_LINES_MAX else 0

    assert violations(CODE_BUT_MIGRATIONS, wrong) == {}


def test_a_function_fits_on_one_screen() -> None:
    """A ratchet, as the one above, and with the same exemption."""

    def wrong(path: Path) -> dict[str, int]:
        functions = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions}
        return {name: lines for name, lines in lengths.items() if lines > FUNCTION_LINES_MAX}

    assert violations(CODE_BUT_MIGRATIONS, wrong) == {}


def test_the_public_interface_is_small_sorted_and_true() -> None:
    names = custody_core.__all__
    assert len(names) <= EXPORTS_MAX
    assert names == sorted(set(names))
    imports = [node for node in tree_of(CORE / "__init__.py").body if isinstance(node, ast.ImportFrom)]
    assert {alias.asname or alias.name for node in imports for alias in node.names} - {"annotations"} == set(names)


def test_the_source_has_the_promised_folders_and_no_others() -> None:
    folders = {path.name for path in SRC.iterdir() if path.is_dir() and not path.name.endswith((".egg-info", "__pycache__"))}
    assert folders == {"adapters", "custody_core", "entrypoints"}


def test_folders_of_packages_are_no_packages_themselves() -> None:
    """Nobody who installs this gets a top-level package called `adapters`."""
    inside = {path.name for folder in (ADAPTERS, ENTRYPOINTS) for path in folder.iterdir()}
    assert {name for name in inside if not name.startswith("custody_") and name != "__pycache__"} == set()
