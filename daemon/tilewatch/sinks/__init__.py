"""What lands in the output folder, one format a file."""
