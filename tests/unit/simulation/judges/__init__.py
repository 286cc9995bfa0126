"""The judges of the promises, each of one matter: the books, sends, and what arrives."""
