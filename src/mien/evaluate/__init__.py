"""How good it is and how fast: measures, protocols, reports, benchmarks. Trains nothing."""
