//! Text.

use minijinja::Value;

use super::{given, number};
use crate::{
    Secret,
    template::external::{
        Fault, limits,
        run::{Piecewise, Run, collected},
        value::elements,
    },
};

type Made = Result<Value, Fault>;

/// Two texts, one behind the other.
pub(super) fn concat(run: &Run, arguments: &[Value]) -> Made {
    let (one, other) = (run.read(&arguments[0])?, run.read(&arguments[1])?);
    run.make(|out| {
        out.push(one.as_str()?.as_bytes())?;
        out.push(other.as_str()?.as_bytes())
    })
}

/// The elements of a list, with something between them.
pub(super) fn join(run: &Run, arguments: &[Value]) -> Made {
    let between = given(&arguments[1]).map(|between| run.read(between)).transpose()?;
    run.make(|out| {
        for (index, element) in elements(&arguments[0])?.enumerate() {
            if let (true, Some(between)) = (index > 0, &between) {
                out.push(between.as_str()?.as_bytes())?;
            }
            run.spend(limits::ELEMENT)?;
            out.push(run.read(&element)?.as_str()?.as_bytes())?;
        }
        Ok(())
    })
}

/// The parts of a text between separators, or between white space.
pub(super) fn split(run: &Run, arguments: &[Value]) -> Made {
    let content = run.read(&arguments[0])?;
    let text = content.as_str()?;
    let part = |part: &str| run.made(Secret::new(part.as_bytes().to_vec()));
    let parts: Result<Vec<Value>, Fault> = match given(&arguments[1]).map(|at| run.read(at)).transpose()? {
        None => text.split_whitespace().map(part).collect(),
        Some(at) if at.bytes().is_empty() => Err(Fault::BadCall),
        Some(at) => text.split(at.as_str()?).map(part).collect(),
    };
    parts.map(Value::from)
}

pub(super) fn lower(run: &Run, arguments: &[Value]) -> Made {
    each_byte(run, &arguments[0], |byte| byte.to_ascii_lowercase())
}

pub(super) fn upper(run: &Run, arguments: &[Value]) -> Made {
    each_byte(run, &arguments[0], |byte| byte.to_ascii_uppercase())
}

fn each_byte(run: &Run, value: &Value, change: impl Fn(u8) -> u8) -> Made {
    let content = run.read(value)?;
    let text = content.as_str()?;
    run.made(Secret::from(collected(text.len(), text.bytes().map(change))))
}

/// White space off both ends.
pub(super) fn trim(run: &Run, arguments: &[Value]) -> Made {
    let content = run.read(&arguments[0])?;
    run.made(Secret::new(content.as_str()?.trim().as_bytes().to_vec()))
}

/// The first characters.
pub(super) fn truncate(run: &Run, arguments: &[Value]) -> Made {
    let (content, characters) = (run.read(&arguments[0])?, number(&arguments[1], usize::MAX)?);
    let text = content.as_str()?;
    let end = text.char_indices().nth(characters).map_or(text.len(), |(end, _)| end);
    run.made(Secret::new(text.as_bytes()[..end].to_vec()))
}

pub(super) fn replace(run: &Run, arguments: &[Value]) -> Made {
    let (content, from, to) = (run.read(&arguments[0])?, run.read(&arguments[1])?, run.read(&arguments[2])?);
    let (from, to) = (from.as_str()?, to.as_str()?.as_bytes());
    if from.is_empty() {
        return Err(Fault::BadCall);
    }
    run.make(|out| {
        let mut rest = content.as_str()?;
        while let Some((before, after)) = rest.split_once(from) {
            out.push(before.as_bytes())?;
            out.push(to)?;
            rest = after;
        }
        out.push(rest.as_bytes())
    })
}

/// Spaces behind every line break, so that a block fits into an indented place; with `first`, also at the start.
pub(super) fn indent(run: &Run, arguments: &[Value]) -> Made {
    let (content, columns) = (run.read(&arguments[0])?, number(&arguments[1], limits::INDENT)?);
    let first = given(&arguments[2]).is_some_and(Value::is_true);
    run.make(|out| indented(out, content.as_str()?, columns, first))
}

/// A line break, and all lines indented.
pub(super) fn nindent(run: &Run, arguments: &[Value]) -> Made {
    let (content, columns) = (run.read(&arguments[0])?, number(&arguments[1], limits::INDENT)?);
    run.make(|out| {
        out.push(b"\n")?;
        indented(out, content.as_str()?, columns, true)
    })
}

fn indented(out: &mut Piecewise<'_>, text: &str, columns: usize, first: bool) -> Result<(), Fault> {
    let spaces = [b' '; limits::INDENT];
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            out.push(b"\n")?;
        }
        if index > 0 || first {
            out.push(&spaces[..columns])?;
        }
        out.push(line.as_bytes())?;
    }
    Ok(())
}

/// In double quotes, with JSON's escapes: right in JSON and in YAML.
pub(super) fn quote(run: &Run, arguments: &[Value]) -> Made {
    let content = run.read(&arguments[0])?;
    run.make(|out| serde_json::to_writer(out, content.as_str()?).map_err(|_| Fault::TooMuchWork))
}

/// In single quotes, those within it doubled: right in YAML and in SQL.
pub(super) fn squote(run: &Run, arguments: &[Value]) -> Made {
    let content = run.read(&arguments[0])?;
    run.make(|out| {
        out.push(b"'")?;
        for (index, part) in content.as_str()?.split('\'').enumerate() {
            if index > 0 {
                out.push(b"''")?;
            }
            out.push(part.as_bytes())?;
        }
        out.push(b"'")
    })
}
