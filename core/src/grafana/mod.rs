//! Grafana's provisioning documents: what it takes, and what Waxwing makes of them.
