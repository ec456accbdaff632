"""What `benchmark` alone needs: what the convolutions of a compiled model really compute in."""
