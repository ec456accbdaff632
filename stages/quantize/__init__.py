"""What `quantize` alone needs: calibration frames, the recipe, accuracy control, the model card."""
