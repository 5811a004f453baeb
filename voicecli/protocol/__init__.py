"""The wire: typed events, one codec for both ends, settings, and the dialects of other servers."""
