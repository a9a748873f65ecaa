"""Search in memory: parameters compiled to tests, over the items of one patient."""
