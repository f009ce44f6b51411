"""smolship: SmolLM2 checkpoints to model files that an app can ship, each proved on its own runtime."""

__version__ = "0.1.0"
