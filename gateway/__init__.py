"""The one door: checks a request, finds its style, has Triton render it, and answers."""
