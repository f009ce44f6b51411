"""What an artefact does on its own runtime: the probe, its measurements, verdicts and the report."""
