"""What a change did, for the person who reviews it: parameters, data, figures, pictures."""
