"""What paints: takes a request, finds its style, has Triton render it."""
