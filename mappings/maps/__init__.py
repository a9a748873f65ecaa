"""The maps: one folder a source format, one YAML file a target."""
