"""Backends that do not run here: one graph in float activations, lowered to each; `backends` is the table."""
