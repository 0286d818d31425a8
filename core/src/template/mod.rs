//! `template.data`: values composed from the opened keys, by a small part of minijinja's language.
//!
//! What a template does must not tell anything about what is in a key, because whoever can commit a template and read
//! the object's status could ask it question after question. So there are expressions `{{ … }}` and filters, but no
//! statements, tests or operators; opened keys are objects that the engine can neither print, compare, measure nor
//! take apart (`text`); and limits count the size that a value *could* have, from the length of its token, never the
//! size that it has. What then still fails by content says one thing only: a value that is no text, or no base64.
//! [`Templates::parse`] therefore tries every template with stand-ins, and finds all other faults without any key.
//! Where the API server looks at a Secret's content, what it finds must not depend on a value either ([`Demand`]).
//!
//! No loader, include, macro, global function or random source exists in the engine that is set up here.
//! `docs/TEMPLATES.md` is the page for users.

mod external;
mod screen;
#[cfg(test)]
mod tests;
mod text;

use std::{collections::BTreeMap, fmt, sync::Arc};

use minijinja::{Environment, ErrorKind, UndefinedBehavior, syntax::SyntaxConfig};
use sha2::{Digest, Sha256};
use waxwing_crds::Reason;

use crate::{
    Secret,
    seal::{DataKey, OpenedValue},
};
use text::{Budget, Names, Output, Text};

pub use external::{ExternalTemplates, Place, TransformTemplate, limits as external_limits};

/// Limits of templates. Kubernetes takes 1 MiB in a Secret, and 768 KiB of it are left to opened values.
pub mod limits {
    /// Bytes that all templates of one object can write together.
    pub const OUTPUT_BYTES: usize = 256 * 1024;
    /// Bytes of one template's text.
    pub const SOURCE_BYTES: usize = 64 * 1024;
    /// Steps of the engine for one template.
    pub const FUEL: u64 = 20_000;
    /// Columns that `indent` takes.
    pub const INDENT: usize = 64;
    /// Filters, fields and brackets of one expression: each is a level of the engine's recursion.
    pub const LINKS: usize = 256;
}

/// Why a template is refused or fails: which one, where, and one of a few fixed phrases. Never its text, never a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template {key}{}: {fault}", Line(*line))]
pub struct TemplateError {
    /// The key of the Secret that the template would fill.
    pub key: DataKey,
    /// The line within the template, counted from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong.
    pub fault: TemplateFault,
}

impl TemplateError {
    /// The reason that conditions and metrics show.
    pub fn reason(&self) -> Reason {
        match self.fault {
            TemplateFault::TooDeep
            | TemplateFault::TooLarge
            | TemplateFault::TooLong
            | TemplateFault::TooManyHashes
            | TemplateFault::TooManySteps
            | TemplateFault::TooMuchOutput
            | TemplateFault::TooMuchWork => Reason::TemplateLimit,
            TemplateFault::Arithmetic
            | TemplateFault::BadArgument
            | TemplateFault::BadCall
            | TemplateFault::MaybeEmpty
            | TemplateFault::NotAList
            | TemplateFault::NotBase64
            | TemplateFault::NotEncoded
            | TemplateFault::NotJson
            | TemplateFault::NotKeyPair
            | TemplateFault::NotPem
            | TemplateFault::NotPlain
            | TemplateFault::NotText
            | TemplateFault::NotWritable
            | TemplateFault::NotYaml
            | TemplateFault::Operator
            | TemplateFault::Statement
            | TemplateFault::Syntax
            | TemplateFault::Unhashable
            | TemplateFault::UnknownExpression
            | TemplateFault::UnknownFilter
            | TemplateFault::UnknownFunction
            | TemplateFault::UnknownName
            | TemplateFault::UnknownStatement
            | TemplateFault::UnknownTest
            | TemplateFault::UnknownValue => Reason::TemplateError,
        }
    }
}

/// What can be wrong with a template. In a SealedSecret all but two are found without any key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateFault {
    /// `+`, `*` and the like.
    #[error("arithmetic is not supported; ~ joins texts")]
    Arithmetic,
    /// A filter was given something that it does not take.
    #[error("a filter has a wrong argument, or b64decode does not stand directly behind a key")]
    BadArgument,
    /// A filter, a test or a function was given something that it does not take.
    #[error("a filter, a test, a function or a comparison has a wrong argument")]
    BadCall,
    /// The API server refuses an empty text here, and whether it is empty would tell about a value.
    #[error(
        "it must not be empty whatever the values are: put text, or a line break, beside the expressions"
    )]
    MaybeEmpty,
    /// A loop over something else.
    #[error("only a list or a map can be looped over or taken apart")]
    NotAList,
    /// `b64decode` of a value that is not base64. Depends on the value.
    #[error("b64decode of a value that is not base64")]
    NotBase64,
    /// The API server would look at the result and refuse it by what is in a value.
    #[error(
        "a JSON object belongs here: end each expression with tojson, or within quotes with b64encode or urlencode"
    )]
    NotEncoded,
    /// `fromjson` of something else.
    #[error("fromjson of a value that is not JSON, or says a name twice")]
    NotJson,
    /// What a PKCS#12 file is to be made of is something else.
    #[error(
        "pkcs12 takes a certificate and a private key that is not encrypted, truststore takes certificates"
    )]
    NotKeyPair,
    /// No such block.
    #[error("no such PEM block in a value, or a broken one")]
    NotPem,
    /// Something that is no text, number or truth.
    #[error("a list, a map or none is no text; tojson, toyaml and join make it one")]
    NotPlain,
    /// A value that is not UTF-8 is used as text; only `b64encode` takes any bytes. Depends on the value.
    #[error("a value that is not UTF-8 text; b64encode takes any bytes")]
    NotText,
    /// An expression gives something other than a key or quoted text.
    #[error("only keys, quoted text and what filters make of them can be written")]
    NotWritable,
    /// `fromyaml` of something else.
    #[error("fromyaml of a value that is not one document of YAML")]
    NotYaml,
    /// `==`, `if … else`, `~`, arithmetic and the like.
    #[error("operators, comparisons, tests and conditional expressions are not supported")]
    Operator,
    /// `{% … %}`.
    #[error("statements ({{% … %}}) are not supported; expressions ({{{{ … }}}}) and filters are")]
    Statement,
    /// The template does not parse.
    #[error("it does not parse")]
    Syntax,
    /// An expression has too many links, or too much is nested.
    #[error("an expression is too long, or too much is nested")]
    TooDeep,
    /// The template could write too much.
    #[error("it could write too much (templates may write {} bytes together)", limits::OUTPUT_BYTES)]
    TooLarge,
    /// The template's own text is too long.
    #[error("its text is longer than {} bytes", limits::SOURCE_BYTES)]
    TooLong,
    /// Slow hashing beyond its limit.
    #[error("bcrypt, htpasswd, pkcs12 and truststore together do the work of more than 16 hashes of cost 10")]
    TooManyHashes,
    /// The template has too many expressions.
    #[error("it takes more than {} steps", limits::FUEL)]
    TooManySteps,
    /// More than a Secret can hold.
    #[error("templates write more than {} bytes together", external_limits::OUTPUT_BYTES)]
    TooMuchOutput,
    /// Operators and filters go over too many bytes.
    #[error("operators and filters work on too much data")]
    TooMuchWork,
    /// No password or user that can be hashed.
    #[error(
        "bcrypt takes a password of 1 to 71 bytes without zero bytes, htpasswd a user without colons and line breaks"
    )]
    Unhashable,
    /// A slice, a tuple or a comparison of more than two.
    #[error("slices, tuples and chains of comparisons are not supported")]
    UnknownExpression,
    /// A filter that does not exist here.
    #[error("it uses a filter that does not exist here")]
    UnknownFilter,
    /// A function that does not exist here.
    #[error("it uses a function or a method that does not exist here")]
    UnknownFunction,
    /// A name that is not one of the keys.
    #[error("it uses a name that is not one of the keys in spec.data")]
    UnknownName,
    /// A statement other than `if`, `for`, `set` and `raw`.
    #[error("statements other than if, for, set a = b and raw are not supported")]
    UnknownStatement,
    /// A test that does not exist here.
    #[error("it uses a test that does not exist here")]
    UnknownTest,
    /// A name, a field or an element that does not exist.
    #[error("it uses a name, a field or an element that does not exist")]
    UnknownValue,
}

/// `, line N`, or nothing.
struct Line(Option<usize>);

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |line| write!(f, ", line {line}"))
    }
}

/// The templates of one object, known to work for any text in its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Templates {
    sources: BTreeMap<DataKey, String>,
    /// The key at whose content the API server looks, by the Secret's type, and what it wants to see there.
    demanded: Option<(&'static str, Demand)>,
    /// The largest size that each key can have: a function of its token's length, which is public.
    sizes: BTreeMap<DataKey, usize>,
}

impl Templates {
    /// Checks `sources` against the keys that exist, for a Secret of type `secret_type`; `token_lengths` are the lengths
    /// of the keys' sealed texts.
    ///
    /// # Errors
    /// The first fault, by key. What passes can fail later only because a value is no text, or no base64.
    pub fn parse(
        sources: BTreeMap<DataKey, String>,
        secret_type: &str,
        token_lengths: impl IntoIterator<Item = (DataKey, usize)>,
    ) -> Result<Self, TemplateError> {
        // A token is base64url of more bytes than the value, behind a prefix: three quarters are always enough.
        let sizes = token_lengths.into_iter().map(|(key, length)| (key, length / 4 * 3)).collect();
        let demanded = DEMANDS.iter().find(|(of_type, ..)| *of_type == secret_type);
        let demanded = demanded.map(|(_, key, demand)| (*key, *demand));
        let templates = Self { sources, demanded, sizes };
        for (key, source) in &templates.sources {
            let fault = |line, fault| TemplateError { key: key.clone(), line, fault };
            if source.len() > limits::SOURCE_BYTES {
                return Err(fault(None, TemplateFault::TooLong));
            }
            screen::check(source).map_err(|(line, found)| fault(Some(line), found))?;
        }
        // Base64 of text, so that every filter takes it.
        let stand_in = |size| Text::sealed(Secret::new(b"eHh4".to_vec()), size);
        let tried = templates.run(true, |_, size| Some(stand_in(size)))?;
        for (key, value) in tried {
            if let Some(fault) = templates.demand(&key).fault(&value) {
                return Err(TemplateError { key, line: None, fault });
            }
        }
        Ok(templates)
    }

    /// What the API server wants to see under a key.
    fn demand(&self, key: &DataKey) -> Demand {
        let demanded = self.demanded.filter(|(name, _)| *name == key.as_str());
        demanded.map_or(Demand::Nothing, |(_, demand)| demand)
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

    /// The composed values.
    ///
    /// # Errors
    /// When a value is no text or no base64 where the template needs it to be.
    pub fn render(
        &self,
        values: &BTreeMap<DataKey, OpenedValue>,
    ) -> Result<BTreeMap<DataKey, Secret>, TemplateError> {
        self.run(false, |key, size| values.get(key).map(|opened| Text::sealed(opened.value.clone(), size)))
    }

    /// `trial` writes marks in place of what depends on a value.
    fn run(
        &self,
        trial: bool,
        value: impl Fn(&DataKey, usize) -> Option<Text>,
    ) -> Result<BTreeMap<DataKey, Secret>, TemplateError> {
        if self.sources.is_empty() {
            return Ok(BTreeMap::new());
        }
        let texts =
            self.sizes.iter().filter_map(|(key, size)| Some((key.to_string(), Arc::new(value(key, *size)?))));
        let names = Names::new(texts.collect());
        let budget = Budget::new(limits::OUTPUT_BYTES);
        let engine = |demand| environment(&budget, demand, trial);
        let (plain, demanding) =
            (engine(Demand::Nothing), engine(self.demanded.map_or(Demand::Nothing, |(_, demand)| demand)));
        let mut rendered = BTreeMap::new();
        for (key, source) in &self.sources {
            let failed = |line, fault| TemplateError { key: key.clone(), line, fault };
            budget.spend(source.len()).map_err(|found| failed(None, found))?;
            let mut output = Output::default();
            let environment = if self.demand(key) == Demand::Nothing { &plain } else { &demanding };
            environment
                .template_from_str(source)
                .and_then(|template| template.render_captured_to(names.root(), &mut output))
                .map_err(|error| failed(error.line(), fault(&error)))?;
            rendered.insert(key.clone(), output.into_secret());
        }
        Ok(rendered)
    }
}

/// What the API server wants to see under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Demand {
    /// A JSON object.
    Json,
    /// Anything but nothing.
    NotEmpty,
    /// It does not look.
    Nothing,
}

impl Demand {
    /// What is wrong with a trial's output, in which marks stand for everything that depends on a value.
    fn fault(self, tried: &Secret) -> Option<TemplateFault> {
        // Why exposed: it is made of the template's own text and marks.
        let tried = tried.expose();
        let is_object =
            || serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(tried).is_ok();
        match self {
            Self::Json if !is_object() => Some(TemplateFault::NotEncoded),
            Self::NotEmpty if tried.is_empty() => Some(TemplateFault::MaybeEmpty),
            Self::Json | Self::NotEmpty | Self::Nothing => None,
        }
    }
}

/// The types whose content the API server looks at, and the key. If a value could make that fail, the refusal would
/// tell about the value. Of other types it wants keys to be there, which the spec alone decides.
const DEMANDS: [(&str, &str, Demand); 3] = [
    ("kubernetes.io/dockercfg", ".dockercfg", Demand::Json),
    ("kubernetes.io/dockerconfigjson", ".dockerconfigjson", Demand::Json),
    ("kubernetes.io/ssh-auth", "ssh-privatekey", Demand::NotEmpty),
];

/// An engine that has nothing but our filters, and writes nothing by which a demand could fail because of a value.
fn environment<'source>(budget: &Budget, demand: Demand, trial: bool) -> Environment<'source> {
    let mut environment = Environment::empty();
    let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
    environment.set_syntax(syntax.expect("the engine's own delimiters are valid"));
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(limits::FUEL));
    text::install(&mut environment, budget, demand, trial);
    environment
}

/// A digest of templates' text, if there are any.
fn digest(sources: &BTreeMap<DataKey, String>) -> Option<String> {
    let mut digest = Sha256::new();
    for (key, source) in sources {
        for text in [key.as_str(), source] {
            digest.update((text.len() as u64).to_be_bytes());
            digest.update(text);
        }
    }
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    (!sources.is_empty()).then(|| hex(&digest.finalize()[..8]))
}

/// Percent-encoding of everything but the unreserved characters of RFC 3986: at most three bytes for one.
fn percent_encoded(bytes: &[u8]) -> impl Iterator<Item = u8> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    bytes.iter().flat_map(|byte| {
        let is_unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
        let [high, low] = [byte >> 4, byte & 15].map(|digit| HEX[usize::from(digit)]);
        let (encoded, length) = if is_unreserved { ([*byte, 0, 0], 1) } else { ([b'%', high, low], 3) };
        encoded.into_iter().take(length)
    })
}

/// A fixed phrase for what the engine reports. Its own text may quote the template, so it is never used.
fn fault(error: &minijinja::Error) -> TemplateFault {
    let own = std::error::Error::source(error).and_then(|source| source.downcast_ref::<TemplateFault>());
    own.copied().unwrap_or(match error.kind() {
        ErrorKind::OutOfFuel => TemplateFault::TooManySteps,
        ErrorKind::UndefinedError => TemplateFault::UnknownName,
        ErrorKind::UnknownFilter => TemplateFault::UnknownFilter,
        ErrorKind::TooManyArguments | ErrorKind::MissingArgument | ErrorKind::InvalidOperation => {
            TemplateFault::BadArgument
        }
        ErrorKind::UnknownFunction | ErrorKind::UnknownMethod | ErrorKind::UnknownTest => {
            TemplateFault::Operator
        }
        _ => TemplateFault::Syntax,
    })
}
