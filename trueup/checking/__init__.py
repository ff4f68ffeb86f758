"""What `trueup check` looks at: settings, specs, the live services, and what another spec would change."""
