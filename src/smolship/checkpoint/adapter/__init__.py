"""LoRA adapters as PEFT saves them, merged into their base as its tensors are read."""

from smolship.checkpoint.adapter.opening import Place, is_adapter, open_adapter, outline_of_adapter

__all__ = ["Place", "is_adapter", "open_adapter", "outline_of_adapter"]
