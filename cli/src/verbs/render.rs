//! `waxwing render`: a directory of manifests in, Secrets out, by the operator's own decisions. For hosts without
//! Kubernetes, for a pipeline before a merge, and for trying things out.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use clap::ValueEnum;
use serde::Serialize;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};
use waxwing_crds::{ClusterScopePolicy, RollbackPolicy};

use crate::{
    args::Context,
    error::{Exit, Result},
    identities::Options,
    printer::{Format, Printer},
    render::{INTERVAL, Job, Layout, Renderer, Row, watch},
    stores,
};

/// Open every SealedSecret, pull every ExternalSecret and fill every injection below a directory into Secret files, as the
/// operator does it in a cluster.
///
/// Hand edits of the Secrets are repaired, removed keys and resources leave, and one that is refused keeps its last good
/// Secret. Files that are not Waxwing's are never touched. What the output directory knows between two runs (no values)
/// is in its .waxwing-status.json.
///
/// The stores of ExternalSecrets stand in the directory too, with the Secrets that they refer to, plain or sealed. They
/// are reached with the credentials that they name, or else with your own. Every run asks them for the present values;
/// with --watch they are asked again when the refresh interval has passed, and a store that is a directory at every
/// change. A relative path of such a directory begins where the manifests lie.
///
/// An AlertmanagerInjection takes its credentials from those Secrets, from plain ones in the directory and from stores.
/// With --layout files its configuration is a file that Alertmanager can read, and --reload tells Alertmanager of a new one.
/// What Alertmanager would refuse is not written; the last good file stays.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  waxwing render deploy --into /run/secrets\n  waxwing render deploy --into /run/secrets --watch\n  waxwing render deploy --into /etc/alertmanager --layout files --reload"
)]
pub(crate) struct Args {
    /// The directory with the manifests
    directory: PathBuf,
    /// The directory for the Secrets; it is made for you alone (mode 0700)
    #[arg(long, value_name = "DIRECTORY")]
    into: PathBuf,
    /// How a Secret is written
    #[arg(long, value_name = "LAYOUT", default_value = "yaml")]
    layout: Layout,
    /// Look once, then end; this is what happens without --watch
    #[arg(long)]
    once: bool,
    /// Go on until Ctrl-C, and look again at every change
    #[arg(long, conflicts_with = "once")]
    watch: bool,
    /// Post to spec.target.reload.url of an injection when its file has changed, so that its reader loads it
    #[arg(long)]
    reload: bool,
    /// What to do about a value that is older than one already seen
    #[arg(long, value_name = "POLICY", default_value = "warn")]
    rollback: Rollback,
    /// Open values of scope cluster, too
    #[arg(long)]
    allow_cluster_scope: bool,
    /// Write even where opened values could be committed, or what another directory gave lies
    #[arg(long)]
    force: bool,
    /// Form of the output; with --watch, JSON is one line a change
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    #[command(flatten)]
    identities: Options,
    #[command(flatten)]
    stores: stores::Options,
}

/// The ring's policy, where there is no ring.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Rollback {
    /// Write it
    Allow,
    /// Write it, and say so
    Warn,
    /// Refuse it
    Deny,
}

pub(crate) fn run(args: Args, context: &Context) -> Result {
    let job = Job {
        source: args.directory,
        output: args.into,
        layout: args.layout,
        rollback: match args.rollback {
            Rollback::Allow => RollbackPolicy::Allow,
            Rollback::Warn => RollbackPolicy::Warn,
            Rollback::Deny => RollbackPolicy::Deny,
        },
        cluster_scope: if args.allow_cluster_scope {
            ClusterScopePolicy::Allow
        } else {
            ClusterScopePolicy::Deny
        },
        stores: args.stores,
        reload: args.reload,
        force: args.force,
    };
    let identities = args.identities.load(context)?;
    let mut renderer = Renderer::open(job, context)?;
    if !args.watch {
        let rows = renderer.look(&identities, context.now)?;
        return tell(&rows, args.output, context);
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register(signal, Arc::clone(&stop))?;
    }
    context.printer.note("watching; Ctrl-C ends it");
    let mut tell = |now, row: &Row| match args.output {
        Format::Json => context.printer.line(serde_json::to_string(&Change { time: now, row })?),
        Format::Text => context.printer.line(format!("{} {}", time_of_day(now), row.line())),
    };
    watch(&mut renderer, &args.identities, INTERVAL, &stop, context, &mut tell)?;
    context.printer.note("stopped; the Secrets stay as they are");
    Ok(Exit::Done)
}

/// One line of `--watch --output json`.
#[derive(Serialize)]
struct Change<'a> {
    /// Unix seconds.
    time: i64,
    #[serde(flatten)]
    row: &'a Row,
}

/// `HH:MM:SSZ`.
pub(crate) fn time_of_day(now: i64) -> String {
    let second = now.rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

fn tell(rows: &[Row], format: Format, context: &Context) -> Result {
    match format {
        Format::Json => context.printer.json(&rows)?,
        Format::Text => {
            for row in rows {
                if row.is_news() {
                    context.printer.line(row.line())?;
                }
            }
            summary(rows, &context.printer);
        }
    }
    Ok(exit(rows))
}

fn summary(rows: &[Row], printer: &Printer) {
    let mut counts = BTreeMap::new();
    for row in rows {
        *counts.entry(row.what.as_str()).or_insert(0_usize) += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
    printer.note(if counts.is_empty() {
        "there is no SealedSecret, no ExternalSecret and no injection".to_owned()
    } else {
        counts.join(", ")
    });
}

fn exit(rows: &[Row]) -> Exit {
    let (wrong, right): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.is_wrong());
    match wrong.first().map(|first| first.exit()) {
        None => Exit::Done,
        Some(_) if !right.is_empty() => Exit::Partly,
        Some(first) if wrong.iter().all(|row| row.exit() == first) => first,
        Some(_) if wrong.iter().any(|row| row.exit() == Exit::Partly) => Exit::Partly,
        Some(_) => Exit::Error,
    }
}
