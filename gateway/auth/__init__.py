"""Who may call, how much, and the audit log."""
