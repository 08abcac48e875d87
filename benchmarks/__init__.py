"""Measurements of netinspect beside ss, netstat, lsof and psutil: `make bench`."""
