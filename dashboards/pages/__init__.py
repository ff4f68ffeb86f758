"""The pages, one module with a `router` each."""
