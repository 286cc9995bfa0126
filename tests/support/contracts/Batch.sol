// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// Makes many calls in one transaction. The ether that it is given is shared among them; if one fails, all are undone.
contract Batch {
    function all(address target, bytes[] calldata calls) external payable {
        uint256 share = msg.value / calls.length;
        for (uint256 index = 0; index < calls.length; index++) {
            (bool done, ) = target.call{value: share}(calls[index]);
            require(done, "a call failed");
        }
    }
}
