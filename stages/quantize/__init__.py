"""The stage `quantize`: recipe, accuracy control and model card."""
