"""What is to be done with which file, remembered over crashes: finding files, the ledger, checkpoints."""
