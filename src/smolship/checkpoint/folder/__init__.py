"""A checkpoint that is a folder, as the hub keeps it: what each of its files says, held together."""
