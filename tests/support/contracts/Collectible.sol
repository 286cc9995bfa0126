// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// An ERC-721 in outline: its Transfer has ERC-20's topic 0, a fourth topic and no data.
contract Collectible {
    mapping(uint256 => address) public ownerOf;
    mapping(address => uint256) public balanceOf;

    event Transfer(address indexed from, address indexed to, uint256 indexed tokenId);

    function mint(address to, uint256 tokenId) external {
        ownerOf[tokenId] = to;
        balanceOf[to] += 1;
        emit Transfer(address(0), to, tokenId);
    }
}
