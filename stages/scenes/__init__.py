"""Generated road scenes with licence plates: the data of the default run and of `pretrain`."""
