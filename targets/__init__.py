"""Device profiles, their budgets, and how to reach a device."""
