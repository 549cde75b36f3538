"""What is to be measured: the axes of a case, cases, sweeps, and the ordered trials made from them."""
