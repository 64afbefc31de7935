"""For every operator: random attributes and operands, and what torch says the result is."""
