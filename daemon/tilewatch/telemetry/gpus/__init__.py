"""What the GPUs tell of themselves: use, memory, temperature, power. Read in a process of its own, which may hang."""
