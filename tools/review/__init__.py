"""The review of a change: parameters, data, figures and frames."""
