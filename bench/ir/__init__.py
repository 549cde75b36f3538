"""The intermediate representation: named layers, their shapes, costs and weights; no framework."""
