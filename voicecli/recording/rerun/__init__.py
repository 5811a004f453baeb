"""The user of a recording, taken out of it, and two runs compared."""
