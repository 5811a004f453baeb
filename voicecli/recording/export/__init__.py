"""A recording in other forms: to be read, heard, or tested with."""
