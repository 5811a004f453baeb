"""Standard input for one reader alone."""

import os


def take_stdin() -> int:
    """Standard input under a number of its own; descriptor 0 is empty from now on.

    For a thread that waits in a read. Windows lets nobody ask anything of a pipe that is being
    read, and libraries ask about descriptor 0 while they are loaded: the import of numpy would wait
    until the pipe has something to give (https://github.com/numpy/numpy/issues/24290).

    Raises:
        OSError: there is no standard input.
    """
    own = os.dup(0)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.close(nowhere)
    return own
