"""The code maps: one YAML file a pair of code systems."""
