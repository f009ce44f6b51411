"""Chat templates: where they are kept, rendered as transformers renders them, and what rendering shows of one."""
