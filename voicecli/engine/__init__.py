"""The embedded engine: speech to text, a reply, text to speech, behind the protocol of a server."""
