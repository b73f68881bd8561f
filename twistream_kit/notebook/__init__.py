"""What a notebook shows and presses."""
