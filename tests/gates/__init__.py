"""What the tests are worth: what stories reach, and whether planted mistakes are noticed."""
