// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// Logs the whole amount and delivers nine tenths of it.
contract Fee {
    uint8 public constant decimals = 18;
    mapping(address => uint256) public balanceOf;

    event Transfer(address indexed from, address indexed to, uint256 value);

    function mint(address to, uint256 value) external {
        balanceOf[to] += value;
        emit Transfer(address(0), to, value);
    }

    function transfer(address to, uint256 value) external returns (bool) {
        balanceOf[msg.sender] -= value;
        balanceOf[to] += (value * 9) / 10;
        emit Transfer(msg.sender, to, value);
        return true;
    }
}
