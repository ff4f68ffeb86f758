"""The JSON API for programs, `/api/v1`: the same accounts, roles and rules as the pages, with tokens instead of sessions."""
