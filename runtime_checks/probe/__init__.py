"""The one program that measures: it runs in a process of its own and imports nothing of `smolship`."""
