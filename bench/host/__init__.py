"""What the operating system provides and refuses: files, disk space, memory, streams, signals, sockets, secrets."""
