"""Which layer encodes what, and the aspects that follow."""
