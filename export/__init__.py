"""Turns a pack (a folder in the Hugging Face diffusers layout) into the engines Triton serves."""
