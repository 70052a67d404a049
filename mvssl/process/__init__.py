"""The process itself: its command line, streams, signals, and those that it starts."""
