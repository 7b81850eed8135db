"""What is done to a frame: one verb a file. Stages never import each other."""
