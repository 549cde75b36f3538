"""How operators of ONNX become layers: one file per family, with a table ``OPERATORS`` of {operator: function}.

A function takes the net and the node, adds layers, and gives the node's outputs their values. It raises Refused for
what it does not know.
"""
