"""The sequences behind the verbs, one file each; only `smolship.cli` imports them."""
