"""Watching: values of the sockets for those who watch a machine."""
