"""What may be wrong with a machine, a server or a setting, and what to do about it."""
