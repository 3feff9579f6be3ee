"""One turn of the loop with simulated labelers, through the services, queue and workers that people use."""
