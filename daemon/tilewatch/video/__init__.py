"""Video in and out, blocking: the only rooms that know PyAV. Everything here runs on a lane."""
