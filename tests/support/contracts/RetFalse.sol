// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// Refuses every transfer by returning false: the transaction succeeds, nothing moves and nothing is logged.
contract RetFalse {
    uint8 public constant decimals = 18;
    mapping(address => uint256) public balanceOf;

    function mint(address to, uint256 value) external {
        balanceOf[to] += value;
    }

    function transfer(address, uint256) external pure returns (bool) {
        return false;
    }
}
