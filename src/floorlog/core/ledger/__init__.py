"""The ledger: what is hashed, as which bytes, in which tree, and how any of it is proven."""
