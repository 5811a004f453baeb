"""The audio room: PCM, codecs, the playback ledger, and the doors to devices and files.

`pcm`, `g711`, `resample`, `wav`, `wire`, `playback` and `vad` are pure: samples in, samples or
facts out. `devices` and `files` are the edges; `ports` names what both offer to a session.
"""
