"""The server's half of the protocol: a pure state machine for each connection, and its parts."""
