//! Operators, tests, filters and functions: each a plain function of its arguments.
//!
//! Every one counts what it reads and makes (`Run`), and names what is wrong by a fixed phrase. `docs/reference/
//! template-filters.md` lists them; a test compares.

mod choice;
mod encoding;
mod password;
mod pem;
mod pkcs12;
mod structure;
mod text;

use std::sync::Arc;

use minijinja::{
    Environment, Value,
    value::{Rest, ValueKind},
};

use super::{Fault, failed, run::Run};

/// Something that a template can call.
pub(super) struct Tool {
    pub(super) name: &'static str,
    /// Its parameters, besides the value that a filter or a test stands behind.
    pub(super) parameters: &'static [&'static str],
    /// How many of them must be given.
    pub(super) required: usize,
    /// Takes the value that it stands behind, and then one argument for each parameter; `none` for one that is left out.
    apply: fn(&Run, &[Value]) -> Result<Value, Fault>,
}

/// The tool of this name.
pub(super) fn find(tools: &'static [Tool], name: &str) -> Option<&'static Tool> {
    tools.iter().find(|tool| tool.name == name)
}

/// Adds all of them to an engine. There they are all filters.
pub(super) fn install(environment: &mut Environment<'_>, run: &Arc<Run>) {
    for tool in [&OPERATORS[..], &TESTS, &FILTERS, &FUNCTIONS].into_iter().flatten() {
        let run = Arc::clone(run);
        environment.add_filter(tool.name, move |first: Value, rest: Rest<Value>| {
            let arguments: Vec<Value> = std::iter::once(first).chain(rest.0).collect();
            (tool.apply)(&run, &arguments).map_err(failed)
        });
    }
}

/// A small number.
fn number(argument: &Value, most: usize) -> Result<usize, Fault> {
    let number =
        (argument.kind() == ValueKind::Number).then(|| usize::try_from(argument.clone()).ok()).flatten();
    number.filter(|number| *number <= most).ok_or(Fault::BadCall)
}

/// Whether a parameter that can be left out was given.
fn given(argument: &Value) -> Option<&Value> {
    (!argument.is_none()).then_some(argument)
}

const fn tool(
    name: &'static str,
    parameters: &'static [&'static str],
    required: usize,
    apply: fn(&Run, &[Value]) -> Result<Value, Fault>,
) -> Tool {
    Tool { name, parameters, required, apply }
}

/// What stands between two values.
pub(super) static OPERATORS: [Tool; 8] = [
    tool("!=", &["other"], 1, choice::differs),
    tool("<", &["other"], 1, choice::less),
    tool("<=", &["other"], 1, choice::at_most),
    tool("==", &["other"], 1, choice::equals),
    tool(">", &["other"], 1, choice::more),
    tool(">=", &["other"], 1, choice::at_least),
    tool("in", &["container"], 1, choice::is_in),
    tool("~", &["other"], 1, text::concat),
];

/// What stands behind `is`.
pub(super) static TESTS: [Tool; 11] = [
    tool("binary", &[], 0, choice::is_binary),
    tool("boolean", &[], 0, choice::is_boolean),
    tool("defined", &[], 0, choice::is_defined),
    tool("endingwith", &["end"], 1, choice::ends_with),
    tool("mapping", &[], 0, choice::is_map),
    tool("none", &[], 0, choice::is_none),
    tool("number", &[], 0, choice::is_number),
    tool("sequence", &[], 0, choice::is_list),
    tool("startingwith", &["start"], 1, choice::starts_with),
    tool("string", &[], 0, choice::is_text),
    tool("undefined", &[], 0, choice::is_undefined),
];

/// What stands behind a bar.
pub(super) static FILTERS: [Tool; 32] = [
    tool("b64decode", &[], 0, encoding::b64decode),
    tool("b64encode", &[], 0, encoding::b64encode),
    tool("b64url", &[], 0, encoding::b64url),
    tool("b64urldecode", &[], 0, encoding::b64urldecode),
    tool("bcrypt", &["cost"], 0, password::bcrypt),
    tool("cert_chain", &[], 0, pem::cert_chain),
    tool("cert_leaf", &[], 0, pem::cert_leaf),
    tool("default", &["other", "empty"], 1, choice::default),
    tool("first", &[], 0, structure::first),
    tool("fromjson", &[], 0, structure::fromjson),
    tool("fromyaml", &[], 0, structure::fromyaml),
    tool("hex", &[], 0, encoding::hex),
    tool("indent", &["columns", "first"], 1, text::indent),
    tool("items", &[], 0, structure::items),
    tool("join", &["between"], 0, text::join),
    tool("last", &[], 0, structure::last),
    tool("length", &[], 0, structure::length),
    tool("lower", &[], 0, text::lower),
    tool("nindent", &["columns"], 1, text::nindent),
    tool("pem", &["kind"], 1, pem::pem),
    tool("pem_first", &["kind"], 1, pem::pem_first),
    tool("quote", &[], 0, text::quote),
    tool("replace", &["from", "to"], 2, text::replace),
    tool("sha256", &[], 0, encoding::sha256),
    tool("split", &["at"], 0, text::split),
    tool("squote", &[], 0, text::squote),
    tool("tojson", &["indent"], 0, structure::tojson),
    tool("toyaml", &[], 0, structure::toyaml),
    tool("trim", &[], 0, text::trim),
    tool("truncate", &["characters"], 1, text::truncate),
    tool("upper", &[], 0, text::upper),
    tool("urlencode", &[], 0, encoding::urlencode),
];

/// What is called by its name.
pub(super) static FUNCTIONS: [Tool; 5] = [
    tool("dockerconfigjson", &["registry", "username", "password", "email"], 3, structure::dockerconfigjson),
    tool("htpasswd", &["user", "password", "cost"], 2, password::htpasswd),
    tool("pkcs12", &["cert", "key", "password", "ca", "name"], 3, pkcs12::keystore),
    tool("range", &["start", "end"], 1, structure::range),
    tool("truststore", &["certs", "password"], 2, pkcs12::truststore),
];
