// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// Moves ether by internal calls, which leave no log.
contract Inner {
    /// Passes the ether on.
    function pay(address to) external payable {
        (bool done, ) = to.call{value: msg.value}("");
        require(done, "not accepted");
    }

    /// Passes the ether on inside a frame that then reverts; the transaction itself succeeds and the ether stays here.
    function go(address to) external payable {
        try this.payAndRevert{value: msg.value}(to) {} catch {}
    }

    function payAndRevert(address to) external payable {
        (bool done, ) = to.call{value: msg.value}("");
        require(done, "not accepted");
        revert("undone");
    }

    receive() external payable {}
}
