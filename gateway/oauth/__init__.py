"""SMART Backend Services: who may have a token, what it says, and whether one that comes back is ours."""
