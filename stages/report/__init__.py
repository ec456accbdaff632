"""The results table, the recommendation, figures and the page."""
