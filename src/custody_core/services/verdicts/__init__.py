"""The promises that a running system can check, each by its number in `docs/explanation/promises.md`.

Rules of these files

1. A check reads page by page and keeps what it needs of one page, so that it runs over any number of rows.
2. It says what violates the promise in words that name the rows. What could not be looked at is a violation: "don't know" is not
   "ok".
3. A promise about what must not happen, and that nothing which is kept would show, has no check here: the page says where it is
   proved.
"""
