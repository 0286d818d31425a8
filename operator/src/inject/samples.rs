//! The few samples that are read from Alertmanager's metrics.

use std::collections::BTreeMap;

/// One sample.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample<'a> {
    /// Its labels.
    pub(crate) labels: BTreeMap<&'a str, String>,
    /// Its value.
    pub(crate) value: f64,
}

/// The samples of one metric in the Prometheus text format. A line that is none is passed over.
pub(crate) fn samples<'a>(text: &'a str, metric: &str) -> Vec<Sample<'a>> {
    let of = |line: &'a str| {
        let rest = line.strip_prefix(metric)?;
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(inner) => labels(inner)?,
            None => (BTreeMap::new(), rest.strip_prefix(' ')?),
        };
        // A timestamp may follow.
        let value = rest.trim().split(' ').next()?.parse().ok()?;
        Some(Sample { labels, value })
    };
    text.lines().filter_map(of).collect()
}

/// Reads `name="value",…}`, and gives what follows.
fn labels(mut text: &str) -> Option<(BTreeMap<&str, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        text = text.trim_start_matches([',', ' ']);
        if let Some(rest) = text.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, rest) = text.split_once("=\"")?;
        let mut value = String::new();
        let mut letters = rest.char_indices();
        let end = loop {
            match letters.next()? {
                (end, '"') => break end,
                (_, '\\') => match letters.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, letter) => value.push(letter),
            }
        };
        labels.insert(name.trim(), value);
        text = &rest[end + 1..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_with_their_labels_and_what_is_none_is_passed_over() {
        let text = "# TYPE a counter\na{x=\"1\",y=\"a \\\"b\\\", c}\"} 3 1700000000\na 4\nab 5\na{x=\"\na{} NaN\na{x=\"2\"} none\n";
        let found = samples(text, "a");
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].labels, BTreeMap::from([("x", "1".to_owned()), ("y", "a \"b\", c}".to_owned())]));
        assert_eq!((found[0].value, found[1].value), (3.0, 4.0));
        assert!(found[2].value.is_nan());
    }
}
