"""The registry of renders: begin, follow, cancel, keep."""
