"""Triton as a client sees it: calls, recovery, which versions are loaded."""
