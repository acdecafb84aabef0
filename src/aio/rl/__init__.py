"""Deep Q-learning of where computation pays: an agent chooses, patch by patch, how much of it a patch gets."""
