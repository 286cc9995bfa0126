"""One chain through Ethereum JSON-RPC nodes: HTTP, envelopes, parsing, and the words in which nodes refuse."""

from custody_rpc.chain import RpcChain
from custody_rpc.circuit import NodeState, Resting
from custody_rpc.transport import InvalidNodeUrl, Limits, Waiting

__all__ = ["InvalidNodeUrl", "Limits", "NodeState", "Resting", "RpcChain", "Waiting"]
