"""The one exception for models that cannot be used."""


class ModelError(ValueError):
    """A model file that cannot be loaded or is not a detector of this project."""
