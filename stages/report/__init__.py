"""What `report` alone needs: the results table, pictures, curves and the page they stand on."""
