"""Sockets with something in common: counted and summed up while they are read."""
