"""The pure core: what a reading means, without sockets, files, clocks or randomness."""
