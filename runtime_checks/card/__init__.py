"""The model card: `README.md` of an artefact, for people who find the folder and nothing else."""

from smolship.runtime_checks.card.card import own_readme, render_card, write_card

__all__ = ["own_readme", "render_card", "write_card"]
