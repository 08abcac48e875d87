"""Options in, tests out: what the kernel can test of them, and what is tested here."""
