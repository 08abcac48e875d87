"""Findings: what the sockets and settings of a machine mean. Pure rules, no input or output."""
