//! Log lines: our own, and nobody else's.
//!
//! Libraries log what they handle. The API client writes a whole answer into the log when it cannot decode it, which
//! for a Secret would be its values. So lines of other crates are dropped at every level, and what matters of them is
//! logged here, without the objects.

use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer, Registry, filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt,
};

use crate::flags::{Flags, LogFormat};

/// The crates whose lines are written.
const OURS: [&str; 2] = ["waxwing_operator", "waxwing_core"];

/// Begins to write log lines to standard output.
pub(crate) fn start(flags: &Flags) {
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match flags.log_format {
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_span_list(false).boxed(),
        LogFormat::Text => fmt::layer().with_ansi(io::stdout().is_terminal()).boxed(),
    };
    // A second start, as in tests, leaves the first.
    let _ = tracing_subscriber::registry().with(layer.with_filter(ours(flags.log_level))).try_init();
}

fn ours(level: LevelFilter) -> Targets {
    OURS.iter().fold(Targets::new().with_default(LevelFilter::OFF), |targets, name| {
        targets.with_target(*name, level)
    })
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    /// L01. Guard: `Targets::with_default(OFF)`.
    #[test]
    fn no_level_lets_the_lines_of_other_crates_through() {
        let filter = ours(LevelFilter::TRACE);
        assert!(filter.would_enable("waxwing_operator::watch", &Level::TRACE));
        for target in
            ["kube_client::client", "kube_runtime::watcher", "hyper::proto", "rustls::client", "tower"]
        {
            assert!(!filter.would_enable(target, &Level::ERROR), "{target}");
        }
    }
}
