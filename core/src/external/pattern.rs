//! Regular expressions of a resource: over names, never over values, and without backtracking.

use regex::{Captures, Regex, RegexBuilder};

/// A checked regular expression. The syntax is RE2's, as far as the `regex` crate has it.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// Checks an expression; none if it does not parse, or is too long or too large.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        if text.len() > LENGTH {
            return None;
        }
        let built = RegexBuilder::new(text).size_limit(SIZE).dfa_size_limit(SIZE).nest_limit(NESTING).build();
        built.ok().map(Self)
    }

    /// Whether it matches somewhere in the name.
    #[must_use]
    pub fn is_match(&self, name: &str) -> bool {
        self.0.is_match(name)
    }

    /// The expression.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The name with every match replaced by `target`, in which `$1`, `${1}` and `${name}` stand for groups and `$$` for
    /// a dollar sign; none if it becomes longer than a name can be.
    pub(super) fn replace(&self, name: &str, target: &str, longest: usize) -> Option<String> {
        let mut renamed = String::new();
        let mut end = 0;
        let fits = |renamed: &String| renamed.len() <= longest;
        let mut expand = |captures: Captures<'_>| {
            let whole = captures.get_match();
            renamed.push_str(&name[end..whole.start()]);
            captures.expand(target, &mut renamed);
            end = whole.end();
            fits(&renamed)
        };
        if !self.0.captures_iter(name).all(&mut expand) {
            return None;
        }
        renamed.push_str(&name[end..]);
        fits(&renamed).then_some(renamed)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

/// Bytes of an expression's text.
const LENGTH: usize = 1024;
/// Bytes of what it is compiled to, and of what is kept while it is matched: `\w{20}` takes 300 KiB.
const SIZE: usize = 1024 * 1024;
/// How deep groups can lie in groups.
const NESTING: u32 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, target: &str, name: &str, expected: &str) {
        let renamed = Pattern::new(pattern).unwrap().replace(name, target, 1024);
        assert_eq!(renamed.as_deref(), Some(expected), "{pattern} -> {target}");
    }

    #[test]
    fn groups_are_put_in_by_number_or_name() {
        check("^db/(.*)$", "$1", "db/password", "password");
        check("(?P<a>[a-z]+)-(?<b>[a-z]+)", "${b}_${a}", "one-two", "two_one");
        check("([a-z])", "${1}1", "ab", "a1b1");
        // The longest name: there is no group `1x`.
        check("(.+)", "$1x", "ab", "");
        check("/", "_", "a/b/c", "a_b_c");
        check("b", "$$1$", "abc", "a$1$c");
        check("x*", "-", "ab", "-a-b-");
        check("nothing", "x", "ab", "ab");
        check("(?i)PASS", "", "pass/Pass", "/");
    }

    #[test]
    fn expressions_that_would_cost_much_are_refused() {
        for text in [&"(a".repeat(60), &"a".repeat(1025), r"\w{200}", "(((a{100}){100}){100}){100}"] {
            assert_eq!(Pattern::new(text), None);
        }
        for text in ["(", "[a", "(?<=a)b", r"(a)\1", "(?!a)"] {
            assert_eq!(Pattern::new(text), None, "{text}");
        }
        assert!(Pattern::new(r"^[\w.-]{1,20}/\p{Lu}\d+$").is_some());
    }

    #[test]
    fn a_name_cannot_be_made_to_grow_without_end() {
        let pattern = Pattern::new("(.)").unwrap();
        assert_eq!(pattern.replace(&"a".repeat(1000), &"$1".repeat(500), 1024), None);
        assert_eq!(pattern.replace("ab", "$1$1", 3), None);
        assert_eq!(pattern.replace("ab", "$1$1", 4).as_deref(), Some("aabb"));
    }

    #[test]
    fn what_would_make_others_backtrack_is_matched_at_once() {
        let pattern = Pattern::new("^(a+)+$").unwrap();
        assert!(!pattern.is_match(&format!("{}b", "a".repeat(100_000))));
    }
}
