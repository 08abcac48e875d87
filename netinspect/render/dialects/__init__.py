"""The output of other programs, made of our records: netstat of several systems, and ss."""
