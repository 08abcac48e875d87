"""The command line: options in, exit status out. Each command loads its rooms when it runs."""
