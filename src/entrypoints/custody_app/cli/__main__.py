"""`python -m custody_app.cli` is `custody`."""

from custody_app.cli import main

main()
