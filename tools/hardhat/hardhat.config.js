// No network, no compiler: the tests only run `hardhat node`, with what tests/support/hardhatnode.py says.
export default {};
