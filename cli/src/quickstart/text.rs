//! What a change of a sealed file did to its bytes.

/// The text without one envelope: its line, and the lines that stand deeper below it.
pub(super) fn without_envelope(text: &str, id: &str) -> String {
    let names = [format!("{id}:"), format!("\"{id}\":")];
    let mut out = String::with_capacity(text.len());
    let mut inside = None;
    for line in text.split_inclusive('\n') {
        let depth = line.len() - line.trim_start_matches(' ').len();
        if inside.is_some_and(|outer| depth > outer) {
            continue;
        }
        inside = names.iter().any(|name| line.trim() == name).then_some(depth);
        if inside.is_none() {
            out.push_str(line);
        }
    }
    out
}

/// The text with one value blanked out, and how many lines held it.
pub(super) fn without_value(text: &str, token: &str) -> (String, usize) {
    (text.replace(token, "…"), text.lines().filter(|line| line.contains(token)).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "spec:\n  envelopes:\n    \"aaaaaaaa\":\n      commit: x\n      to:\n      - y\n    \"bbbbbbbb\":\n      commit: z\n  data:\n    \"k\": wax1.a\n";

    #[test]
    fn an_envelope_is_taken_out_with_its_lines_and_nothing_else() {
        let first = "spec:\n  envelopes:\n    \"bbbbbbbb\":\n      commit: z\n  data:\n    \"k\": wax1.a\n";
        assert_eq!(without_envelope(TEXT, "aaaaaaaa"), first);
        let none = without_envelope(&without_envelope(TEXT, "bbbbbbbb"), "aaaaaaaa");
        assert_eq!(none, "spec:\n  envelopes:\n  data:\n    \"k\": wax1.a\n");
        assert_eq!(without_envelope(TEXT, "cccccccc"), TEXT);
    }

    #[test]
    fn a_value_is_blanked_where_it_stands() {
        let (text, lines) = without_value(TEXT, "wax1.a");
        assert!(text.ends_with("\"k\": …\n"));
        assert_eq!(lines, 1);
    }
}
