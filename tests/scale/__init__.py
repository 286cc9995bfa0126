"""Reconciling at scale: so many wallets, a node that answers for all of them, and what that takes in time and memory."""
