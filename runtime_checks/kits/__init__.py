"""Kits: what a device needs to run the probe with a runtime, put together here for its platform."""
