"""What the sources of maps are made of, as data: the definitions a linter holds their paths against."""
