//! What was found, for people and for programs.

use std::collections::BTreeMap;

use serde::Serialize;
use waxwing_core::yaml::edit;

use super::{
    Found, Severity, junit, path,
    rule::Rule,
    sarif,
    tree::{Object, Tree},
};
use crate::{
    error::Result,
    printer::{Printer, Tone, count},
};

/// The form of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// For people: one line for each finding.
    #[default]
    Text,
    /// One JSON document.
    Json,
    /// SARIF 2.1.0, as code scanning takes it.
    Sarif,
    /// JUnit XML, as test reports take it.
    Junit,
}

/// Everything that was found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// How many files were read.
    pub(super) files: usize,
    /// What was looked at for mistakes.
    pub(super) objects: Vec<Checked>,
    /// In the order of files and lines.
    pub(super) findings: Vec<Finding>,
}

/// An object that was looked at for mistakes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Checked {
    pub(super) file: String,
    pub(super) line: usize,
    #[serde(flatten)]
    pub(super) name: Named,
}

/// An object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Named {
    pub(super) kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) namespace: String,
    pub(super) name: String,
    #[serde(skip)]
    pub(super) title: String,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) severity: Severity,
    pub(super) rule: Rule,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<&'static str>,
    /// None where a file could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) object: Option<Named>,
    /// From the object's root on.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) place: String,
    pub(super) message: String,
}

impl Named {
    fn of(object: &Object) -> Self {
        let Object { kind_name, namespace, name, .. } = object.clone();
        Self { title: object.title(), kind: kind_name, namespace, name }
    }
}

impl Report {
    /// Puts lines to what was found.
    pub(super) fn new(tree: &Tree, found: Vec<Found>) -> Self {
        let mut findings: Vec<Finding> = unreadable(tree).collect();
        let positions = positions(tree, &found);
        for (found, (line, column)) in found.into_iter().zip(positions) {
            let object = &tree.objects[found.object];
            findings.push(Finding {
                file: tree.files[object.file].name.clone(),
                line,
                column,
                severity: found.rule.severity(),
                rule: found.rule,
                detail: found.detail,
                object: Some(Named::of(object)),
                place: found.at.to_string(),
                message: found.message,
            });
        }
        let by_place = |finding: &Finding| (finding.file.clone(), finding.line, finding.column, finding.rule);
        findings.sort_by_cached_key(by_place);
        Self { files: tree.files.len(), objects: checked(tree), findings }
    }

    /// How many findings are so bad.
    pub(crate) fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Shows it.
    pub(crate) fn print(&self, form: Form, strict: bool, printer: &Printer) -> Result<()> {
        match form {
            Form::Text => self.findings.iter().try_for_each(|finding| finding.print(printer))?,
            Form::Json => printer.json(self)?,
            Form::Sarif => printer.json(&sarif::log(self))?,
            Form::Junit => printer.bytes(junit::document(self, strict).as_bytes())?,
        }
        let (errors, warnings) = (self.count(Severity::Error), self.count(Severity::Warning));
        printer.note(format!(
            "{} in {}, {} and {}",
            count(self.objects.len(), "resource"),
            count(self.files, "file"),
            count(errors, "error"),
            count(warnings, "warning")
        ));
        Ok(())
    }
}

impl Finding {
    /// `KIND NAMESPACE/NAME: PLACE: MESSAGE`, as far as there is an object.
    pub(super) fn sentence(&self) -> String {
        let title = self.object.as_ref().map(|object| object.title.as_str());
        let place = Some(self.place.as_str()).filter(|place| !place.is_empty());
        let parts = title.into_iter().chain(place).chain([self.message.as_str()]);
        parts.collect::<Vec<_>>().join(": ")
    }

    fn print(&self, printer: &Printer) -> Result<()> {
        let Self { file, line, severity, rule, .. } = self;
        let tone = if *severity == Severity::Error { Tone::Bad } else { Tone::Strong };
        let severity = printer.toned(tone, severity.word());
        let rule = printer.toned(Tone::Faint, &format!("({})", rule.id()));
        printer.line(format!("{file}:{line}: {severity}: {} {rule}", self.sentence()))
    }
}

fn unreadable(tree: &Tree) -> impl Iterator<Item = Finding> {
    let of = |(file, (line, message)): (&str, &(usize, String))| Finding {
        file: file.to_owned(),
        line: *line,
        column: 1,
        severity: Rule::Unreadable.severity(),
        rule: Rule::Unreadable,
        detail: None,
        object: None,
        place: String::new(),
        message: message.clone(),
    };
    let all = tree.files.iter().flat_map(|file| file.unreadable.iter().map(|one| (file.name.as_str(), one)));
    all.map(of)
}

/// Lines and columns: each document with findings is parsed once.
fn positions(tree: &Tree, found: &[Found]) -> Vec<(usize, usize)> {
    let mut by_document: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
    for (number, found) in found.iter().enumerate() {
        let object = &tree.objects[found.object];
        by_document.entry((object.file, object.document)).or_default().push(number);
    }
    let mut positions = vec![(1, 1); found.len()];
    for ((file, document), numbers) in by_document {
        let file = &tree.files[file];
        let paths: Vec<Vec<edit::Step>> = numbers
            .iter()
            .map(|number| path(&tree.objects[found[*number].object], &found[*number].at))
            .collect();
        let paths = paths.iter().map(Vec::as_slice);
        let places = edit::nearest(&file.text, &file.documents[document], paths);
        for (number, place) in numbers.into_iter().zip(places) {
            positions[number] = found[number].position.unwrap_or(place);
        }
    }
    positions
}

/// The objects that were looked at, with the lines on which they begin.
fn checked(tree: &Tree) -> Vec<Checked> {
    let mut by_document: BTreeMap<(usize, usize), Vec<&Object>> = BTreeMap::new();
    for object in tree.objects.iter().filter(|object| object.kind.is_checked()) {
        by_document.entry((object.file, object.document)).or_default().push(object);
    }
    let mut all = Vec::new();
    for ((file, document), objects) in by_document {
        let file = &tree.files[file];
        let paths: Vec<Vec<edit::Step>> =
            objects.iter().map(|object| path(object, &waxwing_core::inject::Steps::default())).collect();
        let lines = edit::nearest(&file.text, &file.documents[document], paths.iter().map(Vec::as_slice));
        for (object, (line, _)) in objects.into_iter().zip(lines) {
            all.push(Checked { file: file.name.clone(), line, name: Named::of(object) });
        }
    }
    all
}
