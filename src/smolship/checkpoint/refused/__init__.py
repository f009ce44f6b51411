"""What people give for a checkpoint and is none, or none that can be taken: named for what it is."""
