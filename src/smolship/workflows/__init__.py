"""The sequences behind the verbs, one file each; only the command line imports them."""
