// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// Refuses ether, and every call.
contract Revertor {
    receive() external payable {
        revert("no ether here");
    }

    fallback() external payable {
        revert("no calls here");
    }
}
