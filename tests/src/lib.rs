//! What the end-to-end tests and the benchmarks stand on: real servers, the chart as an administrator installs it,
//! the operator as its ServiceAccount, and helpers that wait for conditions and never for time.
//!
//! The programs come from `tests/tools.sh`. A missing one is a failure with a hint, never a skipped test.

#![expect(clippy::unwrap_used, reason = "in a test a failure is a panic that says where")]

pub mod alertmanager;
pub mod ambient;
pub mod audit;
pub mod certs;
pub mod chart;
pub mod control_plane;
pub mod faults;
pub mod folder;
pub mod git_servers;
pub mod grafana;
pub mod gsm;
pub mod http;
pub mod inject;
pub mod kept;
pub mod keyvault;
pub mod moto;
pub mod operator;
pub mod postgres;
pub mod process;
pub mod prometheus_operator;
pub mod pull;
pub mod ring;
pub mod scene;
pub mod scrape;
pub mod sink;
pub mod slapd;
pub mod stub;
pub mod tools;
pub mod trace;
pub mod vault;
pub mod wait;
pub mod work;

use std::future::Future;
use std::sync::LazyLock;

use tokio::runtime::Runtime;

/// One runtime for all tests: a client's connections belong to the runtime that made them, and tests share clients.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime starts")
});

/// Runs one test's future on the shared runtime.
pub fn block_on<F: Future>(future: F) -> F::Output {
    RUNTIME.block_on(future)
}
