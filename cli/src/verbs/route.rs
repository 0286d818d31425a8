//! `waxwing route`: where Alertmanager sends an alert, and what a change of its configuration would change about that.
//!
//! Nothing is asked but the files: neither a cluster nor an Alertmanager nor a store.

mod config;

use std::path::{Path, PathBuf};

use serde::Serialize;
use waxwing_core::alertmanager::{
    Version,
    matcher::{Labels, Matcher, Operator},
    route::{self, Muted, Plan, Route, RouteTest, Seen},
};
use waxwing_crds::Time;

use crate::{
    args::Context,
    error::{Exit, Failure, Result},
    printer::{Format, Tone, count},
};
use config::{Config, configs};

/// Say where Alertmanager sends alerts, before it does.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Test(Test),
    Diff(Diff),
}

/// Say which receivers an alert with these labels goes to, in the order of the tree.
///
/// FILE is a native alertmanager.yaml, or a manifest with an AlertmanagerInjection; - is standard input. Without labels, the
/// routeTests of an injection are run. What configFrom names is looked for in all of the files.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  waxwing route test alertmanager.yaml team=db severity=critical\n  waxwing route test alertmanager.yaml team=db --expect db-pager,chat --at 2026-12-24T22:00:00Z\n  waxwing route test injection.yaml"
)]
struct Test {
    /// Files, and labels of the alert
    #[arg(required = true, value_name = "FILE|LABEL=VALUE")]
    arguments: Vec<String>,
    /// Fail unless the alert goes to exactly these receivers, in this order
    #[arg(long, value_name = "RECEIVERS", value_delimiter = ',')]
    expect: Vec<String>,
    /// When the alert fires: which time intervals are quiet then. For tests that say no time themselves
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<i64>,
    #[command(flatten)]
    common: Common,
}

/// Say which alerts would go to other receivers after a change.
///
/// The labels that are tried come out of the matchers of both files. Each difference is shown by the fewest labels that
/// show it; exit code 3 says that there is one.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  git show main:alertmanager.yaml | waxwing route diff - alertmanager.yaml"
)]
struct Diff {
    /// The configuration so far
    base: PathBuf,
    /// The configuration to be
    head: PathBuf,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Common {
    /// The version of Alertmanager, where the file does not say it
    #[arg(long, value_name = "VERSION", default_value_t = Version::NEWEST)]
    alertmanager: Version,
    /// Form of the output
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

/// What came out for one configuration.
#[derive(Serialize)]
#[serde(untagged)]
enum Outcome {
    Alert(Alert),
    Tests(Tests),
}

/// Where one alert goes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert {
    file: String,
    receivers: Vec<String>,
    routes: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    as_expected: Option<bool>,
}

/// How the tests of an injection came out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tests {
    file: String,
    resource: String,
    tests: Vec<Tested>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tested {
    name: String,
    passed: bool,
    receivers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failures: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    receiver: String,
    route: String,
    matchers: Vec<String>,
    group_by: Vec<String>,
    group_wait_seconds: f64,
    group_interval_seconds: f64,
    repeat_interval_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    muted: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Differences {
    differences: Vec<Difference>,
    tried: usize,
    complete: bool,
}

#[derive(Serialize)]
struct Difference {
    labels: Labels,
    base: Vec<String>,
    head: Vec<String>,
}

pub(crate) fn run(args: Args, context: &Context) -> Result {
    match args.what {
        What::Test(args) => test(&args, context),
        What::Diff(args) => diff(&args, context),
    }
}

fn test(args: &Test, context: &Context) -> Result {
    let (labels, files): (Vec<&String>, Vec<&String>) =
        args.arguments.iter().partition(|argument| argument.contains('='));
    if files.is_empty() {
        return Err(Failure::usage("no file is named: what has a = is a label"));
    }
    let own_tests = labels.is_empty() && args.expect.is_empty();
    let labels: Labels = labels.into_iter().filter_map(|label| label.split_once('=')).map(owned).collect();
    let alert = RouteTest { labels, at: args.at, ..RouteTest::default() };
    let files: Vec<&Path> = files.into_iter().map(Path::new).collect();
    let configs = configs(&files, args.common.alertmanager, context)?;
    let outcome = |config: &Config| {
        if own_tests && !config.tests.is_empty() {
            Outcome::Tests(Tests::of(config, args.at))
        } else {
            Outcome::Alert(Alert::of(config, &alert, &args.expect))
        }
    };
    let outcomes: Vec<Outcome> = configs.iter().map(outcome).collect();
    match args.common.output {
        Format::Json => context.printer.json(&outcomes)?,
        Format::Text => outcomes.iter().try_for_each(|outcome| match outcome {
            Outcome::Alert(alert) => alert.print(context),
            Outcome::Tests(tests) => tests.print(context),
        })?,
    }
    if outcomes
        .iter()
        .any(|outcome| matches!(outcome, Outcome::Alert(alert) if alert.as_expected == Some(false)))
    {
        context.printer.note(format!("expected was {}", args.expect.join(", ")));
    }
    Ok(if outcomes.iter().all(Outcome::is_good) { Exit::Done } else { Exit::Found })
}

impl Outcome {
    fn is_good(&self) -> bool {
        match self {
            Self::Alert(alert) => alert.as_expected != Some(false),
            Self::Tests(tests) => tests.tests.iter().all(|test| test.passed),
        }
    }
}

impl Alert {
    fn of(config: &Config, alert: &RouteTest, expect: &[String]) -> Self {
        let routes = config.plan.tree.receivers(&alert.labels);
        let seen = config.plan.run(alert).seen;
        let receivers: Vec<String> = routes.iter().map(|route| route.receiver.clone()).collect();
        let as_expected = (!expect.is_empty()).then(|| receivers == expect);
        let routes = routes.into_iter().zip(seen).map(|(route, seen)| Row::of(route, &seen)).collect();
        Self { file: config.file.clone(), receivers, routes, as_expected }
    }
}

impl Tests {
    fn of(config: &Config, at: Option<i64>) -> Self {
        let run = |test: &RouteTest| {
            let test = RouteTest { at: test.at.or(at), ..test.clone() };
            Tested::of(config.tested.as_ref().unwrap_or(&config.plan), &test)
        };
        let resource = config.resource.clone().unwrap_or_default();
        Self { file: config.file.clone(), resource, tests: config.tests.iter().map(run).collect() }
    }

    fn print(&self, context: &Context) -> Result<()> {
        let printer = &context.printer;
        let title = printer.toned(Tone::Strong, &format!("{}: {}", self.file, self.resource));
        printer.line(title)?;
        for test in &self.tests {
            let verdict = if test.passed {
                printer.toned(Tone::Good, "passed")
            } else {
                printer.toned(Tone::Bad, "failed")
            };
            printer.line(format!("  {verdict}  {}", test.name))?;
            for failure in &test.failures {
                printer.line(format!("          the alert {failure}"))?;
            }
        }
        Ok(())
    }
}

impl Tested {
    fn of(plan: &Plan, test: &RouteTest) -> Self {
        let trial = plan.run(test);
        Self {
            name: test.name.clone(),
            passed: trial.failures.is_empty(),
            receivers: trial.seen.into_iter().map(|seen| seen.receiver).collect(),
            failures: trial.failures.iter().map(ToString::to_string).collect(),
        }
    }
}

/// RFC 3339, as in the `at` of a route test.
fn time(text: &str) -> std::result::Result<i64, String> {
    let time: std::result::Result<Time, _> = serde_json::from_value(text.into());
    time.map(|time| time.0.as_second()).map_err(|_| "not a time such as 2026-12-24T22:00:00Z".to_owned())
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

impl Row {
    fn of(route: &Route, seen: &Seen) -> Self {
        let mut group_by: Vec<String> = route.group_by.labels.iter().cloned().collect();
        if route.group_by.all {
            group_by = vec!["...".to_owned()];
        }
        Self {
            receiver: route.receiver.clone(),
            route: route.at.to_string(),
            matchers: route.matchers.iter().map(ToString::to_string).collect(),
            group_by,
            group_wait_seconds: route.group_wait.as_secs_f64(),
            group_interval_seconds: route.group_interval.as_secs_f64(),
            repeat_interval_seconds: route.repeat_interval.as_secs_f64(),
            muted: seen.muted.as_ref().map(|muted| match muted {
                Muted::Mute(names) => format!("quiet by {}", names.join(", ")),
                Muted::NotActive => "quiet outside of its active time intervals".to_owned(),
            }),
        }
    }
}

impl Alert {
    fn print(&self, context: &Context) -> Result<()> {
        let printer = &context.printer;
        let verdict = match self.as_expected {
            None => String::new(),
            Some(true) => format!("  {}", printer.toned(Tone::Good, "as expected")),
            Some(false) => format!("  {}", printer.toned(Tone::Bad, "not as expected")),
        };
        printer.line(format!("{}{verdict}", printer.toned(Tone::Strong, &self.file)))?;
        let width = self.receivers.iter().map(|name| name.chars().count()).max().unwrap_or_default();
        for row in &self.routes {
            let matchers = if row.matchers.is_empty() {
                String::new()
            } else {
                format!(" {{{}}}", row.matchers.join(", "))
            };
            let by = printer.toned(Tone::Faint, &format!("{}{matchers}", row.route));
            let muted = row.muted.as_ref().map(|muted| format!("  {muted}")).unwrap_or_default();
            printer.line(format!("  {:width$}  {by}{muted}", row.receiver))?;
        }
        Ok(())
    }
}

fn diff(args: &Diff, context: &Context) -> Result {
    // Each for itself: what one file refers to is not in the other.
    let one = |path: &Path| {
        let configs = configs(&[path], args.common.alertmanager, context)?;
        <[Config; 1]>::try_from(configs)
            .map(|[config]| config.plan.tree)
            .map_err(|_| Failure::usage("holds more than one configuration").at(path.display()))
    };
    let (base, head) = (one(&args.base)?, one(&args.head)?);
    let found = route::diff(&base, &head);
    let differences: Vec<Difference> = found.found.into_iter().map(Difference::of).collect();
    let printer = &context.printer;
    let is_same = differences.is_empty();
    match args.common.output {
        Format::Json => {
            printer.json(&Differences { differences, tried: found.tried, complete: !found.is_cut })?;
        }
        Format::Text => {
            for difference in &differences {
                let names = |names: &[String]| names.join(", ");
                printer.line(difference.labels())?;
                printer.line(format!("  - {}", printer.toned(Tone::Bad, &names(&difference.base))))?;
                printer.line(format!("  + {}", printer.toned(Tone::Good, &names(&difference.head))))?;
            }
            let tried = count(found.tried, "set");
            printer.note(format!("{} in {tried} of labels", count(differences.len(), "difference")));
        }
    }
    if found.is_cut {
        printer.warning("there is more to try than was tried: the trees are too large");
    }
    Ok(if is_same { Exit::Done } else { Exit::Found })
}

impl Difference {
    fn of(found: route::Difference) -> Self {
        Self { labels: found.labels, base: found.base, head: found.head }
    }

    /// As Alertmanager writes them: `{severity="page"}`.
    fn labels(&self) -> String {
        let label = |(name, value): (&String, &String)| {
            let matcher = Matcher::new(name, Operator::Equal, value);
            matcher.map(|matcher| matcher.to_string()).unwrap_or_default()
        };
        format!("{{{}}}", self.labels.iter().map(label).collect::<Vec<_>>().join(", "))
    }
}
