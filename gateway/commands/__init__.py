"""One module a command: `arguments(parser)` declares it, and sets `run` to the function that does it."""
