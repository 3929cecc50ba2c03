"""The benchmark harness: builds, runs and compares the servers and clients under bench/."""
