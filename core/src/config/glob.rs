//! Patterns for paths and namespaces: `*`, `?` and `**`, nothing else.
//!
//! Matching takes at most the product of the two lengths, for any pattern.

use std::fmt;

/// A checked pattern.
///
/// `?` is one character and `*` any number of them, both within one folder; `**` alone between
/// slashes is any number of folders, none too. The whole text must match. All else stands for
/// itself, except what other tools read as more (`[`, `]`, `{`, `}`, `!`, `\`): that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// Checks a pattern; none if it is empty, absolute, climbs with `..`, or uses more than this
    /// language has.
    pub fn new(pattern: &str) -> Option<Self> {
        let segment = |part: &str| {
            !part.is_empty() && part != "." && part != ".." && (part == "**" || !part.contains("**"))
        };
        let good = pattern.split('/').all(segment)
            && !pattern.contains(['[', ']', '{', '}', '!', '\\'])
            && !pattern.chars().any(char::is_control);
        good.then(|| Self(pattern.to_owned()))
    }

    /// Whether the whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        let pattern: Vec<&str> = self.0.split('/').collect();
        let text: Vec<&str> = text.split('/').collect();
        walk(
            &pattern,
            &text,
            |part| *part == "**",
            |part, name| {
                let (part, name): (Vec<char>, Vec<char>) = (part.chars().collect(), name.chars().collect());
                walk(&part, &name, |c| *c == '*', |c, other| *c == '?' || c == other)
            },
        )
    }

    /// The pattern.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether pattern and text match from end to end. On a mismatch, the last star takes one more;
/// earlier stars need no second try, because a later star can take whatever they could.
fn walk<P, T>(
    pattern: &[P],
    text: &[T],
    is_star: impl Fn(&P) -> bool,
    fits: impl Fn(&P, &T) -> bool,
) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut star = None;
    while read < text.len() {
        match pattern.get(at) {
            Some(part) if is_star(part) => {
                star = Some((at, read));
                at += 1;
            }
            Some(part) if fits(part, &text[read]) => {
                at += 1;
                read += 1;
            }
            _ => match star {
                Some((back, taken)) => {
                    star = Some((back, taken + 1));
                    at = back + 1;
                    read = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(is_star)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(pattern: &str, matching: &[&str], other: &[&str]) {
        let glob = Glob::new(pattern).unwrap();
        for text in matching {
            assert!(glob.matches(text), "{pattern} should match {text}");
        }
        for text in other {
            assert!(!glob.matches(text), "{pattern} should not match {text}");
        }
    }

    #[test]
    fn stars_stay_within_a_folder_and_double_stars_do_not() {
        check(
            "clusters/prod/**",
            &["clusters/prod/a.yaml", "clusters/prod/x/y.yaml"],
            &["clusters/prod2/a.yaml", "x/clusters/prod/a"],
        );
        check("**/*.yaml", &["a.yaml", "x/y/a.yaml"], &["a.yml", "a.yaml/x"]);
        check("a/*/c", &["a/b/c", "a/./c"], &["a/c", "a/b/b/c", "a/b/cc"]);
        check("a/**/c", &["a/c", "a/b/c", "a/b/b/c"], &["a/b/d", "b/c"]);
        check("team-?", &["team-a", "team-ü"], &["team-", "team-ab", "team-/"]);
        check("team-*", &["team-", "team-a-b"], &["tea", "xteam-a", "team-a/b"]);
        check("*a*b*", &["ab", "xaxbx", "aab"], &["ba", "a/b", ""]);
        check("**", &["", "a", "a/b"], &[]);
        check("a.b", &["a.b"], &["axb"]);
    }

    #[test]
    fn what_other_languages_would_read_differently_is_refused() {
        for pattern in
            ["", "/a", "a/", "a//b", "../a", "./a", "a**", "**a/b", "[ab]", "{a,b}", "!a", "a\\*", "a\n"]
        {
            assert_eq!(Glob::new(pattern), None, "{pattern:?}");
        }
    }

    /// What a pattern means, said without any cleverness.
    fn plainly(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) if plainly(rest, text) => true,
            (Some(('*', _)), Some((c, rest))) => *c != '/' && plainly(pattern, rest),
            (Some(('?', rest)), Some((c, more))) => *c != '/' && plainly(rest, more),
            (Some((p, rest)), Some((c, more))) => p == c && plainly(rest, more),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn a_pattern_without_double_stars_means_what_it_says(pattern in "[ab?/]{0,3}\\*?[ab?]{0,2}\\*?[ab/]{0,2}", text in "[ab/]{0,8}") {
            if let Some(glob) = Glob::new(&pattern) && !pattern.contains("**") {
                let (pattern, chars): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
                prop_assert_eq!(glob.matches(&text), plainly(&pattern, &chars));
            }
        }

        #[test]
        fn any_text_matches_itself_and_long_patterns_end(text in "[a-z.-]{1,20}(/[a-z-]{1,9}){0,4}", other in ".{0,40}") {
            prop_assume!(text.split('/').all(|part| part != "." && part != ".."));
            prop_assert!(Glob::new(&text).unwrap().matches(&text));
            prop_assert!(!Glob::new(&"*a".repeat(50)).unwrap().matches(&other.replace('a', "b")));
            let _ = Glob::new(&other).map(|glob| glob.matches(&text));
        }
    }
}
