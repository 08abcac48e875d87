"""What other socket tools mean: their flags, states and questions, explained and translated.

The knowledge is in `netinspect/data/*.json`, each entry with its source. Nothing here runs a tool.
"""
