"""Records to bytes: the table, JSON, NDJSON, CSV, TSV and the formats of tabulate. No printing."""
