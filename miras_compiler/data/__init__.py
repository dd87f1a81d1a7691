"""What models are trained on and measured by, as it lies on disk."""
