//! A report as JUnit XML: a suite for each file, a case for each object.
//!
//! Readers of the format show one failure for a case, so all errors of an object are in one.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{
    Severity,
    report::{Finding, Report},
};
use crate::printer::count;

/// A case: its name, and what was found there.
type Cases<'r> = BTreeMap<(usize, &'r str), Vec<&'r Finding>>;

/// The name of the case of a file that cannot be read.
const WHOLE: &str = "the file";

/// The whole document. With `strict`, warnings are failures.
pub(super) fn document(report: &Report, strict: bool) -> String {
    let mut files: BTreeMap<&str, Cases<'_>> = BTreeMap::new();
    for object in &report.objects {
        files.entry(&object.file).or_default().insert((object.line, &object.name.title), Vec::new());
    }
    for finding in &report.findings {
        let cases = files.entry(&finding.file).or_default();
        let title = finding.object.as_ref().map_or(WHOLE, |object| object.title.as_str());
        // The line of a finding is not that of its object.
        let case = cases.keys().rfind(|(line, name)| *name == title && *line <= finding.line).copied();
        cases.entry(case.unwrap_or((0, title))).or_default().push(finding);
    }
    let fails = |finding: &&&Finding| strict || finding.severity == Severity::Error;
    let failed = |cases: &Cases<'_>| {
        cases.values().filter(|findings| findings.iter().any(|finding| fails(&finding))).count()
    };
    let (tests, failures) = files
        .values()
        .fold((0, 0), |(tests, failures), cases| (tests + cases.len(), failures + failed(cases)));
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        xml,
        "<testsuites name=\"waxwing check\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\">"
    );
    for (file, cases) in &files {
        let (name, tests, failures) = (escaped(file), cases.len(), failed(cases));
        let _ = writeln!(
            xml,
            "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" skipped=\"0\">"
        );
        for ((_, title), findings) in cases {
            let (failures, others): (Vec<&Finding>, Vec<&Finding>) =
                findings.iter().partition(|finding| fails(finding));
            case(&mut xml, file, title, &failures, &others);
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn case(xml: &mut String, file: &str, title: &str, failures: &[&Finding], others: &[&Finding]) {
    let (file, title) = (escaped(file), escaped(title));
    let _ = write!(xml, "    <testcase name=\"{title}\" classname=\"{file}\" file=\"{file}\"");
    if failures.is_empty() && others.is_empty() {
        xml.push_str("/>\n");
        return;
    }
    xml.push_str(">\n");
    if let Some(first) = failures.first() {
        let message = match failures.len() {
            1 => first.message.clone(),
            more => count(more, "finding"),
        };
        let (rule, message, text) = (first.rule.id(), escaped(&message), escaped(&lines(failures)));
        let _ = writeln!(xml, "      <failure type=\"{rule}\" message=\"{message}\">{text}</failure>");
    }
    if !others.is_empty() {
        let _ = writeln!(xml, "      <system-out>{}</system-out>", escaped(&lines(others)));
    }
    xml.push_str("    </testcase>\n");
}

fn lines(findings: &[&Finding]) -> String {
    let line = |finding: &&Finding| {
        let Finding { file, line, severity, rule, .. } = finding;
        format!("{file}:{line}: {}: {} ({})", severity.word(), finding.sentence(), rule.id())
    };
    findings.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A text as it may stand in XML 1.0, between tags and in attributes. What XML has no way to say becomes U+FFFD.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' | '\r' | '\t' => {
                let _ = write!(out, "&#{};", u32::from(letter));
            }
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_cannot_say_is_replaced() {
        assert_eq!(escaped("a<b>&\"'\n\u{1}ä"), "a&lt;b&gt;&amp;&quot;&apos;&#10;\u{fffd}ä");
    }
}
