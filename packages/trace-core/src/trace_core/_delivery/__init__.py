"""From the caller's thread to a sink: the queue, its writer thread, retries, counts."""
