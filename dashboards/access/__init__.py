"""Who may do what: accounts, roles, sessions, tokens, one-time links, sign-in by OpenID Connect, and the log of actions."""
