"""A recording played: its pace, its places, its sound."""
