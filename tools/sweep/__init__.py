"""What `make sweep` runs: many experiments, and which model to take of them."""
