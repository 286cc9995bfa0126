"""What the tests stand on: a real dev chain, a proxy that misbehaves on request, contracts that misbehave by nature."""
