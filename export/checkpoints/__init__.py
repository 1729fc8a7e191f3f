"""Published checkpoints: which ones, where they come from, and how they become a pack."""
