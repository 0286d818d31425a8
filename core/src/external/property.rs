//! `property`: which part of an entry is wanted.
//!
//! The language is a part of gjson's, which users of the neighbouring tools know: names between dots, `\` before a
//! character that shall stand for itself, an index into an array, `#` for an array's length, and `#.name` for that field
//! of every element. `@this` is the whole. A field of just this name, dots included, comes first. Wildcards, queries,
//! pipes, modifiers and multipaths are refused: what they choose depends on the values.

use zeroize::Zeroizing;

use super::json::{Json, JsonFault};
use crate::Secret;

/// Which part of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Property {
    text: String,
    /// Its steps, where it is one of these paths. A name can be like none.
    steps: Option<Vec<Step>>,
}

/// One step into a JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    name: String,
    /// `#` without an escape.
    is_every: bool,
}

/// Why there is no such part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Miss {
    /// What is there cannot be read.
    Json(JsonFault),
    /// There is none.
    Missing,
    /// No field has this very name, and as a path it says more than is supported.
    Unsupported,
}

impl From<JsonFault> for Miss {
    fn from(fault: JsonFault) -> Self {
        Self::Json(fault)
    }
}

impl Property {
    /// Reads a path. Every text is at least the name of a field.
    pub(super) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), steps: steps(text) }
    }

    /// As it stands in the resource.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// The part's content: of a string its characters, of all else its compact text.
    pub(super) fn of(&self, json: Json<'_>) -> Result<Secret, Miss> {
        if let Ok(fields) = json.fields()
            && let Some((_, value)) = fields.iter().find(|(name, _)| *name == self.text)
        {
            return Ok(value.content()?);
        }
        let steps = self.steps.as_ref().ok_or(Miss::Unsupported)?;
        match walk(json, steps)?.ok_or(Miss::Missing)? {
            Part::Here(json) => Ok(json.content()?),
            Part::Made(text) => Ok(Secret::from(text)),
        }
    }
}

/// A part that was found.
enum Part<'a> {
    /// As it stands in the entry.
    Here(Json<'a>),
    /// An array or a number that stands nowhere in the entry.
    Made(Zeroizing<Vec<u8>>),
}

fn walk<'a>(json: Json<'a>, steps: &[Step]) -> Result<Option<Part<'a>>, JsonFault> {
    let Some((step, rest)) = steps.split_first() else {
        return Ok(Some(Part::Here(json)));
    };
    let Some(elements) = json.elements() else {
        let fields = match json.fields() {
            Err(JsonFault::NotAnObject) => return Ok(None),
            fields => fields?,
        };
        let field = fields.into_iter().find(|(name, _)| *name == step.name);
        return field.map_or(Ok(None), |(_, value)| walk(value, rest));
    };
    if !step.is_every {
        let is_index = step.name.bytes().all(|b| b.is_ascii_digit());
        let index = is_index.then(|| step.name.parse::<usize>().ok()).flatten();
        return index.and_then(|index| elements.get(index)).map_or(Ok(None), |value| walk(*value, rest));
    }
    if rest.is_empty() {
        return Ok(Some(Part::Made(elements.len().to_string().into_bytes().into())));
    }
    // Every part stands in the array, or is a count and shorter than what is counted: the buffer never grows.
    let mut list = Zeroizing::new(Vec::with_capacity(json.size()));
    list.push(b'[');
    for element in elements {
        let part = walk(element, rest)?;
        if list.len() > 1 && part.is_some() {
            list.push(b',');
        }
        match part {
            Some(Part::Here(json)) => json.write(&mut list),
            Some(Part::Made(text)) => list.extend_from_slice(&text),
            None => {}
        }
    }
    list.push(b']');
    Ok(Some(Part::Made(list)))
}

/// The steps of a path; none if it is more than this language has.
fn steps(text: &str) -> Option<Vec<Step>> {
    let text = match text.strip_prefix("@this") {
        Some("") => return Some(Vec::new()),
        Some(rest) => rest.strip_prefix('.')?,
        None => text,
    };
    let mut steps = Vec::new();
    let mut step = Step { name: String::new(), is_every: false };
    let mut escaped_start = false;
    let mut chars = text.chars();
    loop {
        let c = chars.next();
        match c {
            None | Some('.') => {
                if step.name.is_empty() {
                    return None;
                }
                step.is_every = step.name == "#" && !escaped_start;
                steps.push(std::mem::replace(&mut step, Step { name: String::new(), is_every: false }));
                escaped_start = false;
                if c.is_none() {
                    return (steps.len() <= STEPS).then_some(steps);
                }
            }
            Some('*' | '?' | '|') => return None,
            Some('@' | '!' | '{' | '[') if step.name.is_empty() => return None,
            Some('(' | '[') if step.name == "#" && !escaped_start => return None,
            Some('\\') => {
                escaped_start |= step.name.is_empty();
                step.name.push(chars.next()?);
            }
            Some(c) => step.name.push(c),
        }
    }
}

/// Steps of one path.
const STEPS: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ENTRY: &str = r##"{
        "user": "app", "port": 5432, "tls.crt": "literal", "tls": {"crt": "nested", "a.b": "dot", "#": "hash"},
        "on": true, "none": null, "a*": "star", "@this": "named", "list": ["zero", {"name": "one"}, ["x", "y"]],
        "people": [{"name": "A", "tags": ["1", "2"], "n": 1}, {"nick": "B"}, {"name": "C", "tags": []}],
        "json": "{\"in\": 1}", "0": "a name", "é": "accent", "#": {"x": "y"}, "empty": []
    }"##;

    fn of(entry: &str, property: &str) -> Result<String, Miss> {
        let part = Property::new(property).of(Json::parse(entry.as_bytes()).unwrap())?;
        Ok(String::from_utf8(part.expose().to_vec()).unwrap())
    }

    fn check(property: &str, expected: &str) {
        assert_eq!(of(ENTRY, property), Ok(expected.to_owned()), "{property}");
    }

    fn missing(property: &str, miss: Miss) {
        assert_eq!(of(ENTRY, property), Err(miss), "{property}");
    }

    #[test]
    fn names_lead_into_objects_and_numbers_into_arrays() {
        check("user", "app");
        check("port", "5432");
        check("on", "true");
        check("none", "");
        check("é", "accent");
        check("0", "a name");
        check("tls.a\\.b", "dot");
        check("list.0", "zero");
        check("list.1", r#"{"name":"one"}"#);
        check("list.1.name", "one");
        check("list.2.1", "y");
        check("json", r#"{"in": 1}"#);
        assert_eq!(of("[[1, 2], 3]", "0.1"), Ok("2".to_owned()));
        assert_eq!(of(r#"{"a": {"007": "x"}}"#, "a.007"), Ok("x".to_owned()));
    }

    #[test]
    fn a_field_of_this_very_name_comes_first() {
        check("tls.crt", "literal");
        check("tls\\.crt", "literal");
        check("a*", "star");
        check("@this", "named");
        check("tls.\\crt", "nested");
    }

    #[test]
    fn a_hash_counts_an_array_or_goes_into_every_element() {
        check("list.#", "3");
        check("empty.#", "0");
        check("empty.#.name", "[]");
        check("people.#.name", r#"["A","C"]"#);
        check("people.#.tags", r#"[["1","2"],[]]"#);
        check("people.#.tags.#", "[2,0]");
        check("people.#.tags.0", r#"["1"]"#);
        check("people.#.tags.#.x", "[[],[]]");
        check("tls.#", "hash");
        check("tls.\\#", "hash");
        check("#.x", "y");
        missing("list.\\#", Miss::Missing);
        assert_eq!(of("[[],[1],[]]", "#.#"), Ok("[0,1,0]".to_owned()));
    }

    #[test]
    fn this_is_the_whole() {
        assert_eq!(of(" [ 1, 2 ] ", "@this"), Ok("[1,2]".to_owned()));
        assert_eq!(of("\"text\"", "@this"), Ok("text".to_owned()));
        assert_eq!(of(r#"{"a": "x"}"#, "@this.a"), Ok("x".to_owned()));
    }

    #[test]
    fn what_is_not_there_is_missing() {
        for property in [
            "nope",
            "user.name",
            "port.0",
            "list.3",
            "list.name",
            "list.-1",
            "list.99999999999999999999",
            "tls.nope",
            "none.x",
            "json.in",
        ] {
            missing(property, Miss::Missing);
        }
        assert_eq!(of("5", "a"), Err(Miss::Missing));
    }

    #[test]
    fn what_is_more_than_this_language_is_said_to_be() {
        for property in [
            "us*r",
            "us?r",
            "people.#(name==A)",
            "people.#[name]",
            "user|x",
            "people.@reverse",
            "@reverse",
            "@this|x",
            "@thisx",
            "{user,port}",
            "[user]",
            "tls.{crt}",
            "!true",
            ".user",
            "user.",
            "tls..crt",
            ".",
            "",
            "user\\",
        ] {
            missing(property, Miss::Unsupported);
        }
        missing(&vec!["a"; 33].join("."), Miss::Unsupported);
        missing(&vec!["a"; 32].join("."), Miss::Missing);
        missing("us\\*r", Miss::Missing);
    }

    #[test]
    fn a_part_that_cannot_be_read_says_so() {
        assert_eq!(of(r#"{"a": "\ud800"}"#, "a"), Err(Miss::Json(JsonFault::Escape)));
        assert_eq!(of(r#"{"a": {"b": 1, "b": 2}}"#, "a.b"), Err(Miss::Json(JsonFault::Ambiguous)));
        assert_eq!(of(r#"{"a": 1, "a": 2}"#, "a"), Err(Miss::Json(JsonFault::Ambiguous)));
    }

    /// The page for users shows what is so.
    #[test]
    fn the_examples_in_the_documents_are_right() {
        let page = include_str!("../../../docs/VALUES.md");
        let entry = page.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let table = page.split("|---|---|\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
        let rows: Vec<Vec<_>> = table.lines().map(|row| row.split('`').collect()).collect();
        assert!(rows.len() > 8, "{rows:?}");
        for row in rows {
            assert_eq!(of(entry, row[1]), Ok(row[3].to_owned()), "{}", row[1]);
        }
    }

    proptest! {
        #[test]
        fn any_name_is_found_as_it_is_and_by_its_escapes(name in ".{0,12}", outer in "[a-z]{1,4}", value in ".*") {
            let entry = serde_json::json!({&name: value, "\u{1}": {&outer: {&name: value}}}).to_string();
            prop_assume!(name != "\u{1}");
            prop_assert_eq!(of(&entry, &name), Ok(value.clone()));
            prop_assume!(!name.is_empty());
            let escaped: String = name.chars().flat_map(|c| ['\\', c]).collect();
            prop_assert_eq!(of(&entry, &format!("\u{1}.{outer}.{escaped}")), Ok(value));
        }

        #[test]
        fn no_path_makes_it_panic_or_grow(path in "[a-c0-2#.@\\\\*]{0,9}|(#\\.){0,6}#?") {
            let entry = r##"[[[[1,"a"],{"a":[{"b":{}}]}]],{"a":{"b":["c"]}},[[],[[]]]]"##;
            if let Ok(part) = Property::new(&path).of(Json::parse(entry.as_bytes()).unwrap()) {
                prop_assert!(part.len() <= entry.len());
            }
        }
    }
}
