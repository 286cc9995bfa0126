"""Programs that benchmarks run beside ours: peers in an environment of their own, other servers, and the client of all servers."""
