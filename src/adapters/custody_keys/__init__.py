"""Keys: the secp256k1 library, and the places where private keys are kept sealed."""
