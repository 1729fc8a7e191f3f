"""Changes versions again and again while renders go on, and looks at every one of them."""
