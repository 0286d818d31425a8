//! The validator of Alertmanager's configurations against Alertmanager itself: what one takes and refuses, the other must.

use serde_json::{Value, json};
use waxwing_core::alertmanager::validate::Severity;
use waxwing_core::alertmanager::version::Version;
use waxwing_tests::alertmanager::mutations::{self, Case};
use waxwing_tests::alertmanager::oracle;

/// Why Waxwing refuses what Alertmanager loads: the rule, words of its message, and the reason.
const STRICTER: &[(&str, &str, &str)] = &[
    ("null-item", "would die", "Alertmanager loads it and panics when it notifies"),
    ("template", "broken template", "Alertmanager loads it and cannot notify"),
    ("secret-reference", "", "Alertmanager loads it and cannot build the receiver"),
    ("format", "in the place of a secret", "a configuration that was shown with its secrets hidden"),
];

/// Of the values that are put into every place in turn, each place gets one of so many: all of them take minutes.
const THIN: usize = 16;

/// What may be refused that Alertmanager takes, of a hundred cases.
const STRICTER_PERCENT: usize = 1;

/// T07. Guard: the tables of `core/src/alertmanager/schema` and the rules of `core/src/alertmanager/validate`.
#[test]
fn what_alertmanager_refuses_is_refused_and_what_it_takes_is_taken() {
    let version = Version::NEWEST;
    let (config, newer) = mutations::every_field(version);
    assert!(newer.is_empty(), "the newest version has every field");
    let mut cases = mutations::cases(&config, THIN);
    cases.push(Case::new("unchanged", config));
    assert!(cases.len() > 1000);

    let (mut accepted, mut wrong, mut stricter) = (0, Vec::new(), Vec::new());
    for (case, refusal) in cases.iter().zip(verdicts(&cases)) {
        match (case.is_taken(version), refusal) {
            (true, None) => accepted += 1,
            (true, Some(refusal)) => wrong.push(format!("taken: {}: {refusal}", case.name)),
            (false, None) => match reason(case, version) {
                Some(reason) => stricter.push(format!("{}: {reason}", case.name)),
                None => wrong.push(format!("refused: {}", case.name)),
            },
            (false, Some(_)) => {}
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases are wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(accepted > cases.len() / 10, "{accepted} of {} cases are taken", cases.len());
    assert!(
        stricter.len() * 100 <= cases.len() * STRICTER_PERCENT,
        "{} of {} cases are refused that Alertmanager takes:\n{}",
        stricter.len(),
        cases.len(),
        stricter.join("\n")
    );
}

/// Why a case is refused that Alertmanager takes, if that is meant.
fn reason(case: &Case, version: Version) -> Option<&'static str> {
    let findings = case.findings(version)?;
    let mut reasons = findings.iter().filter(|finding| finding.severity == Severity::Error).map(|finding| {
        let meant =
            STRICTER.iter().find(|(rule, words, _)| finding.rule == *rule && finding.message.contains(words));
        meant.map(|(.., reason)| *reason)
    });
    let first = reasons.next()??;
    reasons.all(|reason| reason.is_some()).then_some(first)
}

/// What Alertmanager says to each case: why it is refused, if it is.
fn verdicts(cases: &[Case]) -> Vec<Option<String>> {
    let answers = oracle::ask("load", cases.iter().map(|case| json!({"config": case.yaml})).collect());
    let refusal =
        |answer: Value| answer["error"].as_str().filter(|error| !error.is_empty()).map(str::to_owned);
    answers.into_iter().map(refusal).collect()
}
