"""What may be said on a Media Stream and what it means; time is always an argument."""
