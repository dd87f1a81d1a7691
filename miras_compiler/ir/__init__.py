"""The tile IR: nodes, and their companions build, verify, interpret, show, traverse and differentiate."""
