//! Alertmanager's configuration: what it takes, what it would do with an alert, and what Waxwing makes of it.
