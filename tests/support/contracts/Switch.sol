// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// Accepts ether until anyone arms it: passes the gas estimation, then reverts on chain.
contract Switch {
    bool public armed;

    function arm() external {
        armed = true;
    }

    receive() external payable {
        require(!armed, "armed");
    }
}
