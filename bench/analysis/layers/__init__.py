"""Layer times and the roofline."""
