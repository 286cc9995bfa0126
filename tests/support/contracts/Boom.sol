// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// Forces ether on an address by destroying itself: no call, no log, nothing that the receiver could refuse.
contract Boom {
    function boom(address payable to) external payable {
        selfdestruct(to);
    }

    receive() external payable {}
}
