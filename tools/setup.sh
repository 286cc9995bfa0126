#!/bin/sh
# Makes .venv and fills it from the hash-pinned locks. `make setup` calls it with one step name; each step may be repeated.
#
#   tools/setup.sh environment   .venv with the first Python >= 3.11 found, and everything in requirements/dev.txt
#   tools/setup.sh project       the project itself, editable
#
# PYTHON=/path/to/python3 chooses the interpreter.
set -eu
cd "$(dirname "$0")/.."

export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
venv=.venv

say() { printf 'setup: %s\n' "$*"; }

fail() {
    printf 'setup: %s\n' "$1" >&2
    printf 'setup: next step: %s\n' "$2" >&2
    exit 1
}

is_new_enough() { # a name on PATH may be a stub that cannot run, so ask it
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
        if is_new_enough "$candidate"; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    return 1
}

# uv installs in seconds what takes pip half a minute, and checks the same hashes. It does not read pip's configuration
# (a private mirror, for one), so where it cannot do the job pip does it. Bytecode is compiled now, as pip does: where Python is told
# to write none, every start of a program would compile it again.
install() {
    if [ -x "$venv/bin/uv" ] &&
        "$venv/bin/uv" pip install --quiet --no-progress --compile-bytecode --python "$venv/bin/python" "$@"; then
        return 0
    fi
    say "uv could not install; trying pip (slower)"
    "$venv/bin/python" -m pip install --quiet "$@"
}

environment() {
    python=$(find_python) || fail "no Python 3.11 or newer found${PYTHON:+ as PYTHON=$PYTHON}" \
        "install one (Debian, Ubuntu: apt-get install python3 python3-venv), or run: make setup PYTHON=/path/to/python3"
    if [ -d "$venv" ] && ! is_new_enough "$venv/bin/python"; then
        say "replacing a $venv that does not run"
        rm -rf "$venv"
    fi
    if [ ! -d "$venv" ]; then
        say "making $venv with $("$python" --version)"
        "$python" -m venv "$venv" || {
            rm -rf "$venv"
            fail "$python cannot make virtual environments" "install its venv package (Debian, Ubuntu: apt-get install python3-venv)"
        }
    fi
    say "installing the locked packages (hashes checked)"
    "$venv/bin/python" -m pip install --quiet --require-hashes --only-binary :all: -r requirements/build.txt ||
        fail "the package index could not be reached, or a hash differs" "see pip's message above, then run: make setup"
    install --require-hashes --only-binary :all: -r requirements/dev.txt ||
        fail "the locked packages could not be installed" "see the message above, then run: make setup"
}

project() {
    install --no-deps --no-build-isolation --editable . ||
        fail "the project could not be installed into $venv" "see the message above; 'make clean setup' starts afresh"
}

case "${1:-}" in
    environment | project) "$1" ;;
    *) fail "unknown step '${1:-}'" "run: make setup" ;;
esac
