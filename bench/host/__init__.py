"""What the operating system gives and refuses: files, room, memory, streams, signals, sockets."""
