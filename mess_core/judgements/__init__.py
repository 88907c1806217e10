"""The listening test: triplets, listening plans, responses of listeners, and their agreement."""
