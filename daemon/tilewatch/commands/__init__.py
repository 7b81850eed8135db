"""The subcommands beside `run`, one file for each group."""
