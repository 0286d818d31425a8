//! One Secret into one sealed resource: a new one, or the one that is there, brought up to date.

use std::{collections::BTreeSet, fmt, path::Path};

use waxwing_core::{
    keys::NamedRecipient,
    plan::Spec,
    seal::{Binding, Scope, Sealed},
    yaml,
};
use waxwing_crds::{SealedSecret, SealedSecretSpec};

use super::{
    compose,
    evidence::{Evidence, Verdict},
    sources::{Part, Plain, Source},
};
use crate::{
    args::Context,
    error::{Explain, Failure, Result},
    printer::count,
    repository::Repository,
    sealed_file::{SealedFile, title},
};

/// Seals Secrets, and remembers what it did.
pub(super) struct Sealer<'a> {
    pub(super) evidence: Evidence,
    pub(super) all: bool,
    pub(super) scope: Option<Scope>,
    pub(super) namespace: Option<&'a str>,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) context: &'a Context,
}

/// What became of one Secret.
#[derive(Default)]
pub(super) struct Outcome {
    title: String,
    added: Vec<String>,
    changed: Vec<String>,
    removed: Vec<String>,
    kept: usize,
    /// Values that nothing could compare.
    pub(super) untold: Vec<String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let lists = [
            ("added", &self.added),
            ("changed", &self.changed),
            ("removed", &self.removed),
            ("not compared", &self.untold),
        ];
        for (word, keys) in lists {
            if !keys.is_empty() {
                parts.push(format!("{word} {}", keys.join(", ")));
            }
        }
        match self.kept {
            0 => {}
            kept if parts.is_empty() => parts.push(format!("{}, all as before", count(kept, "value"))),
            kept => parts.push(format!("{kept} as before")),
        }
        write!(
            f,
            "{}: {}",
            self.title,
            if parts.is_empty() { "no values".to_owned() } else { parts.join("; ") }
        )
    }
}

/// The text of an output while it grows: parsed once for all that is brought up to date, not once for each.
#[derive(Default)]
struct Output {
    text: String,
    /// The text, parsed, with what was changed in it.
    file: Option<SealedFile>,
    /// The new resources behind it, and their namespaces and names.
    tail: String,
    made: BTreeSet<(String, String)>,
}

impl Output {
    /// All of it as one text.
    fn whole(&mut self) -> &mut String {
        if let Some(file) = self.file.take() {
            self.text = file.text().to_owned();
        }
        compose::append(&mut self.text, &std::mem::take(&mut self.tail));
        self.made.clear();
        &mut self.text
    }
}

impl Sealer<'_> {
    /// A stream with its Secrets replaced, everything else as it was.
    pub(super) fn in_place(&mut self, source: &Source, path: &Path) -> Result<String> {
        let mut text = source.text()?.to_owned();
        let sealed = SealedFile::parse(path, text.clone(), self.namespace)?;
        for part in source.parts()?.into_iter().rev() {
            let Part::Secrets { range, secrets, others } = part else { continue };
            let mut made = String::new();
            for plain in secrets {
                let plain = self.placed(plain)?;
                if sealed.find(&plain.namespace, &plain.name).is_some() {
                    return Err(Failure::new(format!(
                        "{} stands beside its plaintext",
                        title(&plain.namespace, &plain.name)
                    ))
                    .at(path.display())
                    .hint("seal the plaintext from a file of its own, with this file as --output"));
                }
                compose::append(&mut made, &self.make(&plain, path)?);
            }
            for other in others {
                compose::append(&mut made, &yaml::to_string(&other)?);
            }
            compose::replace(&mut text, range, &made);
        }
        self.outcomes.reverse();
        Ok(text)
    }

    /// A stream brought onto the text of an output.
    pub(super) fn onto(&mut self, text: String, source: &Source, path: &Path) -> Result<String> {
        let mut output = Output { text, ..Output::default() };
        for part in source.parts()? {
            match part {
                Part::Other { text: document, value } => {
                    compose::pass_through(output.whole(), document, &value).at(path.display())?;
                }
                Part::Secrets { secrets, others, .. } => {
                    for plain in secrets {
                        let plain = self.placed(plain)?;
                        self.one_onto(&mut output, &plain, path)?;
                    }
                    for other in others {
                        compose::pass_through(output.whole(), &yaml::to_string(&other)?, &other)
                            .at(path.display())?;
                    }
                }
            }
        }
        Ok(std::mem::take(output.whole()))
    }

    fn one_onto(&mut self, output: &mut Output, plain: &Plain, path: &Path) -> Result<()> {
        let names = (plain.namespace.clone(), plain.name.clone());
        if output.made.contains(&names) {
            output.whole();
        }
        if output.file.is_none() {
            output.file =
                Some(SealedFile::parse(path, output.text.clone(), self.namespace).at(path.display())?);
        }
        let found = output.file.as_mut().and_then(|file| Some((file.find(&names.0, &names.1)?, file)));
        match found {
            Some((index, file)) => self.update(file, index, plain, path)?,
            None => {
                compose::append(&mut output.tail, &self.make(plain, path)?);
                output.made.insert(names);
            }
        }
        Ok(())
    }

    /// With the namespace from the command line where the manifest has none.
    fn placed(&self, mut plain: Plain) -> Result<Plain> {
        match (plain.namespace.is_empty(), self.namespace) {
            (true, Some(namespace)) => plain.namespace = namespace.to_owned(),
            (false, Some(namespace)) if plain.namespace != namespace => {
                return Err(Failure::usage(format!(
                    "Secret {} says namespace {}, the command line says {namespace}",
                    plain.name, plain.namespace
                )));
            }
            (true, None) if self.scope != Some(Scope::Cluster) => {
                return Err(Failure::new(format!(
                    "Secret {} has no namespace, and values are bound to it",
                    plain.name
                ))
                .hint("say --namespace NAMESPACE, or write metadata.namespace into the manifest"));
            }
            _ => {}
        }
        for name in plain.drop_copies() {
            self.context.printer.warning(format!(
                "{}: left out the annotation {name}: a value stands in it in clear",
                title(&plain.namespace, &plain.name)
            ));
        }
        Ok(plain)
    }

    fn recipients(&self, plain: &Plain, path: &Path) -> Result<Vec<NamedRecipient>> {
        Repository::of(path, self.context)?.recipients(path, &plain.namespace)
    }

    /// The scope of a new resource: the command line's, else the rule's.
    fn scope_for(&self, plain: &Plain, path: &Path) -> Result<Scope> {
        match self.scope {
            Some(scope) => Ok(scope),
            None => Ok(Repository::of(path, self.context)?
                .rule(path, &plain.namespace)?
                .scope
                .unwrap_or(Scope::Strict)),
        }
    }

    /// A new resource.
    pub(super) fn make(&mut self, plain: &Plain, path: &Path) -> Result<String> {
        let title = title(&plain.namespace, &plain.name);
        let binding = Binding {
            scope: self.scope_for(plain, path).at(&title)?,
            namespace: plain.namespace.clone(),
            name: plain.name.clone(),
            secret_type: plain.secret_type.clone(),
        };
        let recipients = self.recipients(plain, path).at(&title)?;
        let mut sealed = Sealed::empty(binding);
        sealed.seal(&plain.values(), &recipients, self.context.now).at(&title)?;
        let mut spec = SealedSecretSpec::default();
        sealed.write_into(&mut spec);
        plain.describe(&mut spec);
        // Not by `new`, which copies the annotations of the CRD.
        let mut object = SealedSecret { spec, ..SealedSecret::default() };
        object.metadata.name = Some(plain.name.clone());
        object.metadata.namespace = Some(plain.namespace.clone()).filter(|namespace| !namespace.is_empty());
        // What the operator would refuse is refused here, too.
        Spec::try_from(&object).at(&title)?;
        let added = plain.data.keys().map(ToString::to_string).collect();
        self.finish(Outcome { title, added, ..Outcome::default() }, &sealed, plain);
        Ok(yaml::to_string(&object)?)
    }

    /// The resource that is there, with what changed.
    fn update(&mut self, file: &mut SealedFile, index: usize, plain: &Plain, path: &Path) -> Result<()> {
        let item = file.item(index)?;
        let mut object = item.object.clone();
        let mut outcome = Outcome { title: item.title(), ..Outcome::default() };
        plain.describe(&mut object.spec);
        if let Some(scope) = self.scope {
            object.spec.scope = scope.to_string();
        }
        object.spec.secret_type.clone_from(&plain.secret_type);
        // Under another type or scope no token opens any more: each value is sealed anew.
        let rebound = item.object.spec.scope != object.spec.scope
            || item.object.spec.secret_type != object.spec.secret_type;
        let mut sealed =
            Sealed::parse(&object.spec, &item.sealed.binding().namespace, &plain.name).at(&outcome.title)?;
        for key in item.sealed.tokens().keys().filter(|key| !plain.data.contains_key(*key)) {
            sealed.unset(key);
            outcome.removed.push(key.to_string());
        }
        let mut values = Vec::new();
        for (key, value) in &plain.data {
            let verdict = match item.sealed.tokens().contains_key(key) {
                false => None,
                true if rebound => Some(Verdict::Changed),
                true => Some(self.evidence.compare(&item.sealed, key, value)?),
            };
            match verdict {
                None => outcome.added.push(key.to_string()),
                Some(Verdict::Changed) => outcome.changed.push(key.to_string()),
                Some(Verdict::Unknown) if self.all => outcome.changed.push(key.to_string()),
                Some(Verdict::Same) => {
                    outcome.kept += 1;
                    continue;
                }
                Some(Verdict::Unknown) => {
                    outcome.untold.push(key.to_string());
                    continue;
                }
            }
            values.push((key.clone(), value.clone()));
        }
        if !values.is_empty() {
            let recipients = self.recipients(plain, path).at(&outcome.title)?;
            sealed.seal(&values, &recipients, self.context.now).at(&outcome.title)?;
        }
        sealed.write_into(&mut object.spec);
        Spec::read(&object.spec, &plain.namespace, &plain.name).at(&outcome.title)?;
        file.update_object(index, object, sealed.clone())?;
        self.finish(outcome, &sealed, plain);
        Ok(())
    }

    fn finish(&mut self, outcome: Outcome, sealed: &Sealed, plain: &Plain) {
        for (key, value) in &plain.data {
            if !outcome.untold.iter().any(|untold| untold == key.as_str()) {
                self.evidence.remember(sealed, key, value);
            }
        }
        self.outcomes.push(outcome);
    }
}
