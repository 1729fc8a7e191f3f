"""What the HTTP door offers of versions, and what follows from their changes."""
