// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// Burns the amount of gas that it was made with whenever it is sent ether.
contract Grief {
    uint256 public immutable gasBurned;

    constructor(uint256 gas_) {
        gasBurned = gas_;
    }

    receive() external payable {
        uint256 start = gasleft();
        while (start - gasleft() < gasBurned) {}
    }
}
