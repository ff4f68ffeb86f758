"""The reference settlement system: schema, workload with planted faults and traps, and the auditor that knows the answer."""
