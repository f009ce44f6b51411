"""Runtime checks: a probe on each artefact's own runtime, fidelity against the reference, verdicts and the report."""
