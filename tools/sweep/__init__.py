"""`make sweep`: many experiments, and a recommendation of one of their models."""
