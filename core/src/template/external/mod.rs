//! `target.template.data` of an ExternalSecret: values composed from the fetched ones.
//!
//! Unlike the templates of SealedSecrets, these may choose by what is in a value: there are `if`, `for`, comparisons and
//! tests. So an author who can read the object's status can learn about a value through whether rendering succeeds; such an
//! author can as well have the value written into a Secret of the namespace. `docs/TEMPLATES.md` says so. What an error
//! itself tells is the key, the line and a fixed phrase.
//!
//! Everything is bounded, without a clock: the engine's steps, the bytes that operators and filters work on, the memory
//! that results take, the output, the depth of all that is recursed into, and slow hashing. The engine runs no operator and
//! no filter of its own (`language`). Nothing reads files, the network, the environment, other objects, a clock or
//! randomness: the same values always give the same Secret. `docs/reference/template-filters.md` lists what there is.

mod language;
mod run;
#[cfg(test)]
mod tests;
mod tools;
mod value;

use std::{collections::BTreeMap, sync::Arc};

use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value, machinery};

use super::{TemplateError, TemplateFault as Fault, digest};
use crate::{Secret, plan::Data, seal::DataKey};
use language::Refused;
use run::Run;
use value::Names;

/// Limits of templates of ExternalSecrets.
pub mod limits {
    /// Bytes of one template's text.
    pub const SOURCE_BYTES: usize = 64 * 1024;
    /// Bytes that all templates of one object can write together: what Kubernetes takes in a Secret.
    pub const OUTPUT_BYTES: usize = 1024 * 1024;
    /// Steps of the engine for all templates of one object together.
    pub const FUEL: u64 = 20_000;
    /// Bytes that the operators and filters of all templates of one object may read and write together.
    pub const WORK_BYTES: usize = 32 * 1024 * 1024;
    /// Bytes of one text that an operator or a filter makes.
    pub const TEXT_BYTES: usize = 1024 * 1024;
    /// Bytes that an element of a list, or an entry of a map, counts as, besides what is in it.
    pub const ELEMENT: usize = 128;
    /// Tokens of one expression or statement that can each be a level of recursion.
    pub const LINKS: usize = 256;
    /// `elif`s of one template.
    pub const BRANCHES: usize = 100;
    /// `set`s of one template.
    pub const SETS: usize = 64;
    /// Lists and maps within each other that are written out in a template.
    pub const LEVELS: usize = 4;
    /// Lists and maps within each other that can be compared, and written as JSON or YAML.
    pub const DEPTH: usize = 128;
    /// Bytes of a name that is looked up in a map by a value.
    pub const NAME: usize = 1024;
    /// Numbers that `range` counts.
    pub const RANGE: usize = 1000;
    /// Columns that `indent` and `nindent` take.
    pub const INDENT: usize = 64;
    /// Costs that `bcrypt` and `htpasswd` take.
    pub const BCRYPT_COSTS: std::ops::RangeInclusive<usize> = 4..=12;
    /// Rounds of slow hashing for all templates of one object together: 16 hashes of cost 10.
    pub const HASHING: usize = 16 << 10;
}

/// Which object is rendered: it makes the salts of password hashes its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// The templates of one ExternalSecret, known to parse and to use only what there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExternalTemplates {
    sources: BTreeMap<DataKey, String>,
}

impl ExternalTemplates {
    /// Checks what can be checked without any value: syntax, names of filters, tests and functions, their arguments, and
    /// sizes.
    ///
    /// # Errors
    /// The first fault, by key.
    pub fn parse(sources: BTreeMap<DataKey, String>) -> Result<Self, TemplateError> {
        for (key, source) in &sources {
            language::compile(source).map_err(|refused| at(key, refused))?;
        }
        Ok(Self { sources })
    }

    /// A digest of the templates' text, if there are any.
    pub fn digest(&self) -> Option<String> {
        digest(&self.sources)
    }

    /// The keys that templates fill.
    pub fn keys(&self) -> impl Iterator<Item = &DataKey> {
        self.sources.keys()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// The composed values. The same values at the same place give the same result.
    ///
    /// # Errors
    /// The first fault, by key. Whether there is one can depend on the values.
    pub fn render(&self, values: &Data, place: Place<'_>) -> Result<Data, TemplateError> {
        // A slash is in neither of the two.
        let run = Arc::new(Run::new(format!("{}/{}", place.namespace, place.name)));
        let names = Names::of(values.iter().map(|(key, value)| (key.as_str(), value)));
        let mut fuel = limits::FUEL;
        let rendered = self.sources.iter().map(|(key, source)| {
            run.begin(key.as_str());
            let value = evaluate(source, &names, &run, &mut fuel).map_err(|refused| at(key, refused))?;
            Ok((key.clone(), value))
        });
        rendered.collect()
    }
}

/// `rewrite.transform`: a template that makes a new key out of an old one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransformTemplate {
    source: String,
}

impl TransformTemplate {
    /// Checks what can be checked without any key.
    ///
    /// # Errors
    /// The first fault, for a template of the name `rewrite.transform`.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        language::compile(source).map_err(transform)?;
        Ok(Self { source: source.to_owned() })
    }

    /// The new key. The template sees the old one under the name `value`. Keys are no secret.
    ///
    /// # Errors
    /// As [`ExternalTemplates::render`]; also when the result is no text.
    pub fn apply(&self, key: &str) -> Result<String, TemplateError> {
        let run = Arc::new(Run::new(String::new()));
        let old = Secret::new(key.as_bytes().to_vec());
        let names = Names::of([("value", &old)].into_iter());
        let new = evaluate(&self.source, &names, &run, &mut limits::FUEL.clone()).map_err(transform)?;
        // Why exposed: it is made of a key.
        String::from_utf8(new.expose().to_vec()).map_err(|_| transform((None, Fault::NotText)))
    }
}

fn at(key: &DataKey, (line, fault): Refused) -> TemplateError {
    TemplateError { key: key.clone(), line, fault }
}

fn transform(refused: Refused) -> TemplateError {
    at(&"rewrite.transform".parse().expect("a key can be so called"), refused)
}

/// Renders one template. `fuel` is what is left for this one and all that follow.
fn evaluate(source: &str, names: &Value, run: &Arc<Run>, fuel: &mut u64) -> Result<Secret, Refused> {
    let instructions = language::compile(source)?;
    let environment = environment(run, *fuel);
    // Nothing is written there: see `environment`.
    let mut unused = String::new();
    let mut unused = machinery::make_string_output(&mut unused);
    let none = BTreeMap::new();
    let done =
        machinery::eval(&environment, &instructions, names.clone(), &none, &mut unused, AutoEscape::None);
    let (_, state) = done.map_err(|error| (error.line(), fault(&error)))?;
    *fuel = state.fuel_levels().map_or(0, |(_, left)| left);
    run.finish().map_err(|fault| (None, fault))
}

/// An engine that has nothing but our tools, and writes nowhere but into memory that is wiped.
fn environment<'source>(run: &Arc<Run>, fuel: u64) -> Environment<'source> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(fuel));
    tools::install(&mut environment, run);
    let run = Arc::clone(run);
    environment.set_formatter(move |_, _, value| run.write(value).map_err(failed));
    environment
}

/// A fault of ours, for the engine to carry through.
fn failed(fault: Fault) -> Error {
    Error::new(ErrorKind::InvalidOperation, "").with_source(fault)
}

/// A fixed phrase for what the engine reports. Its own text may quote the template, so it is never used.
fn fault(error: &Error) -> Fault {
    let own = std::error::Error::source(error).and_then(|source| source.downcast_ref::<Fault>());
    own.copied().unwrap_or(match error.kind() {
        ErrorKind::OutOfFuel => Fault::TooManySteps,
        ErrorKind::UndefinedError => Fault::UnknownValue,
        // Operators and filters are ours, so what the engine itself does with a value is to loop over it and to take it apart.
        ErrorKind::CannotUnpack | ErrorKind::InvalidOperation => Fault::NotAList,
        _ => Fault::Syntax,
    })
}
