//! Alertmanager's configurations, and what can be done to them.

pub mod amtool;
pub mod mutations;
pub mod oracle;
pub mod server;
