"""The page and the server of `detect --serve`. Needs the extra `serve`.

app.py      starts and ends the server
api.py      the page, pictures in and boxes out, metrics
kserve.py   the Open Inference Protocol: tensors in, tensors out
picture.py  pictures from anybody
guard.py    who may ask, how much and how often
metrics.py  what Prometheus reads
patience.py connections: how many, and for how long
page/       what the browser gets
"""


class ServeError(ValueError):
    """A server that cannot start."""
