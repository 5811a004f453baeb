"""The engine as a WebSocket server: who is let in, what is limited, what is told."""
