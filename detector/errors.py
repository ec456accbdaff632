"""What ends in one line: a model, a source or an output that cannot be used."""


class ModelError(ValueError):
    """A model file that cannot be loaded or is not a detector of this project."""


class SourceError(ValueError):
    """A picture, video, camera or stream that cannot be read."""


class OutputError(ValueError):
    """A place that frames or detections cannot be written to."""
