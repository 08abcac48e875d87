"""Bounded experiments on loopback that make states and faults of sockets appear."""
