//! Random documents with comments, random edits: the result says what was asked for, and the lines
//! of other entries are all there, in order, byte for byte.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::yaml::documents;
use crate::yaml::tests::any_value;

/// A document to write, and what stands around its entries.
#[derive(Debug, Clone)]
enum Shape {
    /// Written behind its key, some of it over several lines: `\n` stands for a line at the
    /// indentation of the content.
    Scalar(&'static str),
    Map(Vec<(usize, Dress, Shape)>),
    List(Vec<Shape>),
}

#[derive(Debug, Clone)]
struct Dress {
    blank: bool,
    comments: usize,
    trailing: bool,
}

/// A line and the path of the entry that it belongs to.
#[derive(Debug)]
struct Line {
    text: String,
    owner: Vec<Step>,
}

const KEYS: [(&str, &str); 12] = [
    ("a", "a"),
    ("b", "b"),
    ("c", "c"),
    ("d", "'d'"),
    ("e", "e"),
    ("f", "\"f\""),
    ("12", "\"12\""),
    ("on", "'on'"),
    ("x-y", "x-y"),
    ("x.y/z", "x.y/z"),
    ("m", "m"),
    ("ü", "ü"),
];

const SCALARS: [&str; 22] = [
    "",
    " 1",
    " plain",
    " 'it''s'",
    " \"two\\nlines\"",
    " ~",
    " {}",
    " []",
    " [1, {a: 2}]",
    " {a: x, \"b\": [1, 2], c: {}}",
    " {a, b: , c: 'q' }",
    " {\n  a: 1, # one\n  b: {x: y} # two\n}",
    " [\n  1,\n  2\n]",
    " {\n  \"a\": 1,\n  \"c\": \"x\"\n}",
    " |\nt1\nt2",
    " |+\nt1\n\n",
    " >-\nfolded\ntext",
    " |-",
    " some\nmore words",
    " \"quoted\nmore\"",
    " !!str 5",
    " |2\n  t\n",
];

fn shape() -> impl Strategy<Value = Shape> {
    let scalar = prop::sample::select(SCALARS.to_vec()).prop_map(Shape::Scalar);
    let dress = (prop::bool::weighted(0.2), 0..3_usize, prop::bool::weighted(0.2))
        .prop_map(|(blank, comments, trailing)| Dress { blank, comments, trailing });
    let map = move |inner: BoxedStrategy<Shape>| {
        prop::collection::vec((0..KEYS.len(), dress.clone(), inner), 1..5).prop_map(|mut entries| {
            let mut seen = Vec::new();
            entries.retain(|(key, ..)| {
                !seen.contains(key) && {
                    seen.push(*key);
                    true
                }
            });
            Shape::Map(entries)
        })
    };
    let nested = map.clone();
    let inner = scalar.boxed().prop_recursive(3, 24, 4, move |inner| {
        prop_oneof![3 => nested(inner.clone()), 1 => prop::collection::vec(inner, 1..4).prop_map(Shape::List)]
    });
    map(inner.boxed())
}

struct Writer {
    lines: Vec<Line>,
    comments: usize,
}

impl Writer {
    fn line(&mut self, text: String, owner: &[Step]) {
        self.lines.push(Line { text, owner: owner.to_vec() });
    }

    /// `head` is the text before the first entry: the indentation, or `- `.
    fn map(
        &mut self,
        entries: &[(usize, Dress, Shape)],
        indent: usize,
        head: &str,
        path: &[Step],
        in_item: bool,
    ) {
        for (index, (key, dress, shape)) in entries.iter().enumerate() {
            let (name, written) = KEYS[*key];
            let at: Vec<_> = path.iter().cloned().chain([Step::from(name)]).collect();
            let compact = in_item && index == 0;
            // In a list item, the first line moves to the dash when the first entry goes.
            let owner = if in_item { path } else { &at[..] };
            if dress.blank && !compact {
                self.line(String::new(), path);
            }
            for _ in 0..if compact { 0 } else { dress.comments } {
                self.comments += 1;
                let heading = index == 0 && !dress.blank;
                let comment = format!("{}# c{}", " ".repeat(indent), self.comments);
                self.line(comment, if heading { path } else { &at[..] });
            }
            let start = if compact { head.to_owned() } else { " ".repeat(indent) };
            self.value(&format!("{start}{written}:"), dress.trailing, shape, indent, owner, &at);
        }
    }

    fn value(
        &mut self,
        head: &str,
        trailing: bool,
        shape: &Shape,
        indent: usize,
        owner: &[Step],
        at: &[Step],
    ) {
        self.comments += usize::from(trailing);
        let trailing = if trailing { format!(" # t{}", self.comments) } else { String::new() };
        match shape {
            Shape::Scalar(text) => {
                let mut parts = text.split('\n');
                let first = parts.next().unwrap_or_default();
                let parts: Vec<_> = parts.collect();
                // A comment behind the first line of a plain or quoted text would end it.
                let trailing = if parts.is_empty()
                    || text.starts_with([' ']) && text.contains(['|', '>'])
                    || text.contains("\n\n")
                    || text.contains("\n\r\n")
                {
                    trailing
                } else {
                    String::new()
                };
                self.line(format!("{head}{first}{trailing}"), owner);
                for part in parts {
                    let part = if part.is_empty() {
                        String::new()
                    } else {
                        format!("{}{part}", " ".repeat(indent + 2))
                    };
                    self.line(part, owner);
                }
            }
            Shape::Map(entries) => {
                self.line(format!("{head}{trailing}"), owner);
                self.map(entries, indent + 2, "", at, false);
            }
            Shape::List(items) => {
                self.line(format!("{head}{trailing}"), owner);
                for (index, item) in items.iter().enumerate() {
                    let at: Vec<_> = at.iter().cloned().chain([Step::from(index)]).collect();
                    let dash = format!("{}-", " ".repeat(indent));
                    match item {
                        Shape::Map(entries) => self.map(entries, indent + 2, &format!("{dash} "), &at, true),
                        Shape::List(_) => self.line(format!("{dash} [x]"), &at),
                        scalar => self.value(&dash, false, scalar, indent, &at, &at),
                    }
                }
            }
        }
    }
}

fn written(shape: &Shape) -> Vec<Line> {
    let mut writer = Writer { lines: Vec::new(), comments: 0 };
    if let Shape::Map(entries) = shape {
        writer.map(entries, 0, "", &[], false);
    }
    writer.lines
}

fn all_paths(value: &Value, path: &[Step], out: &mut Vec<Vec<Step>>) {
    let mut deeper = |step: Step, value: &Value| {
        let at: Vec<_> = path.iter().cloned().chain([step]).collect();
        out.push(at.clone());
        all_paths(value, &at, out);
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| deeper(Step::from(key.as_str()), value)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| deeper(Step::from(index), item))
        }
        _ => {}
    }
}

/// The edits as plainly as they can be said.
fn edited(value: Value, path: &[Step], new: Option<&Value>) -> Value {
    let Some((step, rest)) = path.split_first() else { return new.cloned().unwrap_or(value) };
    match (step, value) {
        (Step::Key(key), Value::Object(mut map)) => {
            match (map.remove(key), new) {
                (_, None) if rest.is_empty() => {}
                (None, None) => {}
                (old, new) => {
                    map.insert(key.clone(), edited(old.unwrap_or(Value::Null), rest, new));
                }
            }
            Value::Object(map)
        }
        (Step::Key(_), Value::Null) if new.is_some() => edited(json!({}), path, new),
        (Step::Index(index), Value::Array(mut items)) => {
            if let Some(item) = items.get_mut(*index) {
                *item = edited(item.take(), rest, new);
            }
            Value::Array(items)
        }
        (_, other) => other,
    }
}

/// A comment below the first entry of a list item moves up behind the dash when that entry goes.
fn is_subsequence(part: &[&str], whole: &[&str]) -> bool {
    let mut whole = whole.iter();
    let moved = |line: &str, other: &str| {
        line.trim_start().starts_with("# c")
            && other.trim_start().strip_prefix("- ") == Some(line.trim_start())
    };
    part.iter().all(|line| whole.any(|other| other == line || moved(line, other)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn an_edit_does_what_it_says_and_nothing_else(
        shape in shape(),
        pick in any::<prop::sample::Index>(),
        new_key in prop::option::of(0..KEYS.len()),
        value in prop::option::weighted(0.7, any_value()),
        crlf in prop::bool::weighted(0.2),
        unfinished in prop::bool::weighted(0.2),
        around in prop::bool::weighted(0.3),
    ) {
        let lines = written(&shape);
        let mut text = lines.iter().map(|line| format!("{}\n", line.text)).collect::<String>();
        let ends_in_text = lines.last().is_some_and(|last| last.text.is_empty() || last.text.starts_with("   "));
        if unfinished && !around && !ends_in_text {
            text.pop();
        }
        if around {
            text = format!("x: 1 # one\n--- # two\n{text}---\n# three\nz: [\n");
        }
        if crlf {
            text = text.replace('\n', "\r\n");
        }
        let document = usize::from(around);
        let part = &read::split(&text).unwrap()[document];
        let before = read::value(&text[part.range.clone()], document, part.line).unwrap();

        let mut paths = vec![vec![]];
        all_paths(&before, &[], &mut paths);
        let mut path = pick.get(&paths).clone();
        if let Some(key) = new_key {
            path.push(KEYS[key].0.into());
        }
        let edit = match &value {
            Some(value) => Edit::Set { path: path.clone(), value: value.clone() },
            None => Edit::Remove { path: path.clone() },
        };
        let after = match apply(&text, document, &[edit]) {
            Ok(after) => after,
            Err(EditError::NotAMapping { .. } | EditError::Unsupported { .. }) => return Ok(()),
            Err(error) => return Err(TestCaseError::fail(format!("{error:?} at {path:?} = {value:?} in\n{text}"))),
        };

        let part = &read::split(&after).unwrap()[document];
        let found = read::value(&after[part.range.clone()], document, part.line).unwrap();
        prop_assert_eq!(found, edited(before, &path, value.as_ref()), "{}\n=>\n{}", &text, &after);

        let kept: Vec<_> = lines
            .iter()
            .filter(|line| !line.owner.starts_with(&path) && !path.starts_with(&line.owner) || line.text.trim_start().starts_with("# c") && line.owner.len() < path.len())
            .map(|line| line.text.as_str())
            .collect();
        let now: Vec<_> = after.lines().collect();
        prop_assert!(is_subsequence(&kept, &now), "{}\n=>\n{}", &text, &after);
        prop_assert!(value.is_none() || text.contains(['|', '>']) || text.contains("\n\n") || text.contains("\n\r\n") || after.ends_with('\n') == text.ends_with('\n'), "{}\n=>\n{}", &text, &after);
        prop_assert!(!crlf || after.matches('\n').count() == after.matches("\r\n").count(), "{:?}", &after);
        if around {
            prop_assert!(after.starts_with("x: 1 # one") && after.contains("--- # two") && after.contains("# three"));
        }
    }

    #[test]
    fn no_text_makes_an_edit_panic(
        text in "([ab]:|- |\\? |[\n\r\t :{}\\[\\],&*!|>'\"%#@-]|---\n|[^a-z]){0,40}",
        at in prop::collection::vec(prop_oneof![Just(Step::from("a")), Just(Step::from("")), Just(Step::from(0))], 0..4),
        value in any_value(),
    ) {
        for edit in [Edit::Set { path: at.clone(), value }, Edit::Remove { path: at }] {
            if let Ok(edited) = apply(&text, 0, &[edit]) {
                prop_assert!(documents(&edited).is_ok() || documents(&text).is_err(), "{:?} => {:?} {:?}", text, edited, documents(&edited));
            }
        }
    }
}
