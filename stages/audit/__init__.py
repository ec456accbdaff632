"""What `look` alone needs: measures, boxes in doubt, pictures, drawings and their page."""
