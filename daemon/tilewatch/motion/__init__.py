"""Which tiles of a frame have to be looked at again, and what stands of those that have not."""
