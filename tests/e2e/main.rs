//! Waxwing against real servers. One binary, so that all tests share them; see `tests/README.md`.
//!
//! A test's doc comment begins with the ids of `SECURITY.md` that it covers and names the guard whose removal makes it
//! fail.

#![expect(clippy::unwrap_used, reason = "in a test a failure is a panic that says where")]

mod admission;
mod alertmanager_files;
mod alertmanager_routes;
mod alertmanager_servers;
mod alertmanager_validator;
mod alerts;
mod break_glass;
mod chart;
mod chart_upgrade;
mod check;
mod cli;
mod clusters;
mod drift;
mod external_secret;
mod faults;
mod flux;
mod grafana_injection;
mod grafana_provisioning;
mod index;
mod injection;
mod key_ring;
mod key_ring_rotation;
mod keys_cli;
mod leaks;
mod lifecycle;
mod main_path;
mod ownership;
mod policies;
mod protection;
mod provider_aws;
mod provider_azure;
mod provider_gcp;
mod provider_kubernetes;
mod provider_vault;
mod pull_faults;
mod pull_kubernetes;
mod pull_leases;
mod pull_shared;
mod pull_tenants;
mod recovery;
mod refused;
mod rewrap;
mod rewrap_git;
mod rewrap_git_chart;
mod rewrap_git_elsewhere;
mod rewrap_git_faults;
mod rewrap_git_requests;
mod rights;
mod rollback;
mod servers;
mod slipped;
mod status;
mod store_check;
mod targets;
mod teams;
mod tenants;
mod tenants_offline;
