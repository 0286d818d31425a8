//! Texts that match a regular expression, so that what it catches can be tried out.

use std::collections::BTreeSet;

use regex_syntax::{
    ParserBuilder,
    hir::{Class, Hir, HirKind},
};

use crate::alertmanager::matcher::Pattern;

/// How many texts are made of one part of an expression.
const MAX_SAMPLES: usize = 24;

/// How long one may be, in bytes. Longer ones are given up.
const MAX_LENGTH: usize = 2048;

/// Some texts that match, shortest first: one of each alternative where there are not too many, with and without what may be
/// left out. None where none was found, which does not mean that there is none.
pub(super) fn samples(pattern: &Pattern) -> Vec<String> {
    let parser = ParserBuilder::new().nest_limit(crate::alertmanager::matcher::MAX_DEPTH).build();
    let Ok(hir) = { parser }.parse(pattern.translated()) else { return Vec::new() };
    let mut found: Vec<String> = of(&hir).into_iter().filter(|text| pattern.is_match(text)).collect();
    found.sort_by_key(String::len);
    found
}

fn of(hir: &Hir) -> Vec<String> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => vec![String::new()],
        HirKind::Literal(literal) => vec![String::from_utf8_lossy(&literal.0).into_owned()],
        HirKind::Class(class) => of_class(class),
        HirKind::Capture(capture) => of(&capture.sub),
        HirKind::Repetition(repetition) => {
            let once = of(&repetition.sub);
            let times = |times: u32| -> Vec<String> {
                let count = usize::try_from(times).unwrap_or(usize::MAX);
                let fits = |text: &&String| text.len().saturating_mul(count) <= MAX_LENGTH;
                once.iter().filter(fits).map(|text| text.repeat(count)).collect()
            };
            let more = repetition.min.saturating_add(1);
            let has_more = repetition.max.is_none_or(|max| more <= max);
            limited(
                times(repetition.min).into_iter().chain(has_more.then(|| times(more)).into_iter().flatten()),
            )
        }
        HirKind::Concat(parts) => parts.iter().fold(vec![String::new()], |texts, part| {
            let ends = of(part);
            let longest = texts.len().max(ends.len());
            // All pairs where they are few; else each part in one of them at least.
            if texts.len() * ends.len() <= MAX_SAMPLES {
                joined(texts.iter().flat_map(|text| ends.iter().map(move |end| (text, end))))
            } else {
                joined(
                    (0..longest)
                        .filter_map(|at| Some((texts.get(at % texts.len())?, ends.get(at % ends.len())?))),
                )
            }
        }),
        // The parser sorts nothing, so the first alternatives are the first that were written.
        HirKind::Alternation(parts) => limited(parts.iter().flat_map(of)),
    }
}

fn joined<'a>(pairs: impl Iterator<Item = (&'a String, &'a String)>) -> Vec<String> {
    limited(pairs.map(|(text, end)| format!("{text}{end}")).filter(|text| text.len() <= MAX_LENGTH))
}

fn limited(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    texts.filter(|text| seen.insert(text.clone())).take(MAX_SAMPLES).collect()
}

/// A character or two that people can read, if there is one.
fn of_class(class: &Class) -> Vec<String> {
    let ranges: Vec<(char, char)> = match class {
        Class::Unicode(class) => class.ranges().iter().map(|range| (range.start(), range.end())).collect(),
        Class::Bytes(class) => {
            let ascii = class.ranges().iter().filter(|range| range.end().is_ascii());
            ascii.map(|range| (char::from(range.start()), char::from(range.end()))).collect()
        }
    };
    let is_in = |character: &char| ranges.iter().any(|(first, last)| (first..=last).contains(&character));
    let mut found: Vec<char> =
        ['a', 'x', '1', 'A', '-', '_', ' '].into_iter().filter(is_in).take(2).collect();
    // Such as [1-3]: each is likely to be meant.
    let size = |(first, last): &(char, char)| u32::from(*last) - u32::from(*first);
    let is_small = ranges.iter().map(|range| size(range) + 1).sum::<u32>() <= 6;
    if is_small {
        found = ranges.iter().flat_map(|(first, last)| *first..=*last).collect();
    } else if found.is_empty() {
        found.extend(ranges.first().map(|(first, _)| *first));
    }
    found.into_iter().map(String::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(expression: &str) -> Vec<String> {
        samples(&Pattern::read(expression).unwrap())
    }

    #[test]
    fn every_alternative_has_a_sample() {
        assert_eq!(found("db|web|api"), ["db", "web", "api"]);
        assert_eq!(
            found("prod-(eu|us)-[1-3]"),
            ["prod-eu-1", "prod-eu-2", "prod-eu-3", "prod-us-1", "prod-us-2", "prod-us-3"]
        );
        assert_eq!(found("x.*"), ["x", "xa", "xx"]);
    }

    #[test]
    fn whatever_is_given_matches() {
        for expression in [
            "",
            ".+",
            "(?i)Warning",
            r"\d{3}",
            r"[^a-z]+",
            "a)|(b",
            r"\bfoo\b.*",
            "(a|b){1000}",
            r"\p{Greek}",
        ] {
            let pattern = Pattern::read(expression).unwrap();
            let all = samples(&pattern);
            assert!(!all.is_empty() && all.iter().all(|text| pattern.is_match(text)), "{expression} {all:?}");
            assert!(all.len() <= MAX_SAMPLES, "{expression}");
        }
        assert!(found("a$b").is_empty());
    }
}
