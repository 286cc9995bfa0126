"""Where a goal is not reached: what stands in the way, what was tried, and what to try next. The page tells it with the figures."""

from __future__ import annotations

from typing import Final

SHORTFALLS: Final = {
    "P2": """The goal of 60 times web3.py is not reached. On this machine the limit, which only fetches and parses the same
answers, is itself about 30 times cheaper than web3.py: 60 times would take half of a full parse. Ours costs about as much as
that parse with all of its checks. Tried: the sends of all blocks of a commit saved at once (a third less on SQLite), logs
read ahead, batches of 3 to 20 blocks, 100 blocks a commit, another switch interval of threads. Next: parsing in a process of
its own, and receipts and logs in one request.""",
    "P3": """The goal of 50 times is not reached. A commit of 50 blocks takes about 200 ms, of which half is waiting: receipts,
the balances after and before it of who was paid tokens, and what strangers signed (the replay plants some in every commit)
are asked one after another, 25 ms each; blocks and logs are read ahead. Tried: logs read ahead (before, they were a fifth
wait), 100 blocks a commit, batches of 3 to 20 blocks. Next: both balances in one request, and reading the next range while
this one is committed.""",
    "P5": """The goals are not reached. A send is about twelve rows that are written, in four commits; what is stored, not
signed or sent, is most of the time. Tried: rows written as one document a table (1.3 times faster), one commit for a step of
a whole batch, COPY for hundreds of rows. Next: fewer rows a send, and one batch broadcast while the next is signed.""",
    "P6": """The goal is not reached. Accepting takes 26 statements for requests that share a commit, against one of the peer.
Tried: requests that arrive together share a commit, one statement a table, the fees kept for a second. Next: reading all that
an acceptance decides on in one statement, and writing all that follows in another.""",
    "P8": """The limit's goal is reached, the peer's nearly: 3.3 to 5.5 times in the rounds of several runs, as the machine was
quick or slow. Half of ours is Python: deposits into rows, rows into COPY, hashes into the array of the look-up. Tried: one
JSON document for all rows, COPY, an index where the planner read the table whole, one look-up in place of two. Next: COPY's
binary form, which saves the driver and the server the texts of 18 columns.""",
    "P9": """The scanner's goals are not reached: SQLAlchemy with its PostgreSQL dialect takes about half of the time, and with
psycopg and requests 54 MB. Tried: imports put off until they are needed, garbage collection put off while importing. Next:
the few statements of the scanner without SQLAlchemy's own compiler.""",
    "P11": """Deposits reach their goal; sends do not, for the machine does not accept 500 a second (see P6): what waits is the
queue before it. Tried: payouts in batches of five, which share a commit, and four threads that accept. Next: that of P6.""",
}
