"""The inside of the mouth: teeth, gums, tongue and darkness, painted between the posed lips."""
