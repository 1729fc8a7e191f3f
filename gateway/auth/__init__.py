"""Who may call, how much, and what may be rendered."""
