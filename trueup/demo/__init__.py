"""The main job in one command: a real settlement database, its workload with faults, and the pipeline's scorecard."""
