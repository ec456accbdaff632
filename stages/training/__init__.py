"""What `train` alone needs: augmented samples and the loop."""
