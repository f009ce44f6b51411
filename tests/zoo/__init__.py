"""Small checkpoints made by the tools that people use, and what transformers computes of each."""
