"""What people answered in the listening test: triplets, plans, responses, agreement."""
