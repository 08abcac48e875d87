"""Bytes or text of a kernel or a program in, records out: pure functions, no I/O, no clock."""
