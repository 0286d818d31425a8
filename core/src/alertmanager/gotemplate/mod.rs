//! Whether a text is a template that Go's `text/template` would parse with the functions that Alertmanager has.
//!
//! Alertmanager parses inline templates when it notifies, so a broken one costs the notification. This is the lexer and
//! parser of Go, without the tree: nothing is run, and nothing of a template appears in an error.

mod lex;
mod parse;

use super::version::Version;

/// What begins an action.
pub const OPEN: &str = "{{";

/// Why a text is no template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// `{{` without `}}`.
    #[error("an action is not closed")]
    Unclosed,
    /// A comment without its end, or with something behind it.
    #[error("a comment is not closed")]
    Comment,
    /// A quote without its end.
    #[error("a quoted text is not closed")]
    Quote,
    /// An escape that there is not.
    #[error("a quoted text has an escape that Go does not know")]
    Escape,
    /// A number that is none.
    #[error("a number is malformed")]
    Number,
    /// A character that does not belong there.
    #[error("an action has a character that does not belong there")]
    Character,
    /// Parentheses that do not match.
    #[error("parentheses do not match")]
    Parenthesis,
    /// A word or sign that does not belong there.
    #[error("an action makes no sense")]
    Unexpected,
    /// Nothing where a value must be.
    #[error("an action lacks a value")]
    Missing,
    /// A value in the place of a function.
    #[error("a pipeline goes into something that is no function")]
    Pipeline,
    /// A function that there is not.
    #[error("a function is called that does not exist there")]
    Function,
    /// A variable that was not declared.
    #[error("a variable is used that was not declared")]
    Variable,
    /// `end` or `else` too much or too little.
    #[error("if, range, with, define, block, else and end do not match")]
    Block,
    /// `break` or `continue` outside of `range`.
    #[error("break or continue stands outside of range")]
    Loop,
    /// The same name twice.
    #[error("a template is defined twice")]
    Twice,
    /// Deeper than Waxwing follows.
    #[error("it nests too deep")]
    Deep,
}

/// Which functions a template may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Functions {
    /// Those of Go.
    Go,
    /// Those of Go and of this Alertmanager.
    Alertmanager(Version),
}

/// Checks a template.
///
/// # Errors
/// Go would not parse it, or it calls a function that does not exist.
pub fn check(text: &str, functions: Functions) -> Result<(), Fault> {
    if !text.contains(OPEN) {
        return Ok(());
    }
    parse::parse(&lex::lex(text)?, functions)
}

impl Functions {
    fn has(self, name: &str) -> bool {
        GO.contains(&name)
            || match self {
                Self::Go => false,
                Self::Alertmanager(version) => ALERTMANAGER
                    .iter()
                    .any(|(since, names)| *since <= version.minor() && names.contains(&name)),
            }
    }

    /// `{{ else with }}` came with Go 1.23.
    fn has_else_with(self) -> bool {
        !matches!(self, Self::Alertmanager(version) if version.minor() < 28)
    }
}

const GO: &[&str] = &[
    "and", "call", "html", "index", "slice", "js", "len", "not", "or", "print", "printf", "println",
    "urlquery", "eq", "ge", "gt", "le", "lt", "ne",
];

/// Since which minor version.
const ALERTMANAGER: &[(u8, &[&str])] = &[
    (25, &["toUpper", "toLower", "title", "join", "match", "safeHtml", "reReplaceAll", "stringSlice"]),
    (26, &["trimSpace"]),
    (28, &["date", "tz", "since", "humanizeDuration"]),
    (30, &["safeUrl", "urlUnescape", "toJson"]),
    (32, &["list", "append", "dict"]),
    (33, &["now"]),
    (34, &["routeLabels", "toDate", "mustToDate", "base64encode", "base64decode"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(text: &str) -> Result<(), Fault> {
        check(text, Functions::Alertmanager(Version::NEWEST))
    }

    #[test]
    fn what_go_parses_is_taken() {
        for text in [
            "",
            "no template } }}",
            "{{ .Labels.a }}-{{.}}{{ $ }}{{ $.Status }}",
            "{{- /* comment */ -}} x {{/* c */}}",
            "{{ if eq .Status \"firing\" }}a{{ else if not .x }}b{{ else }}c{{ end }}",
            "{{ range $i, $e := .Alerts }}{{ $i }}{{ $e.Labels.x }}{{ break }}{{ else }}none{{ end }}",
            "{{ range $e := .Alerts -}} {{ continue }} {{- end }}",
            "{{ with $x := .A }}{{ $x }}{{ else with .B }}{{ . }}{{ end }}",
            "{{ template \"slack.default.title\" . }}{{ template `x` }}",
            "{{ define \"a\" }}x{{ end }}{{ template \"a\" . }}",
            "{{ block \"b\" . }}x{{ end }}",
            "{{ (index .Alerts 0).Labels.a | toUpper | printf \"%s %d %q\" 'x' }}",
            "{{ .Alerts.Firing | len }}{{ $x := 1 }}{{ $x = 0x1F }}{{ $x }}{{ 1.5e3 }}{{ -1 }}{{ +.5 }}{{ 081i }}{{ 1+2i }}",
            "{{ print nil true false \"\\u00e9\\x41\\101\\n\" }}",
            "{{ .größe }}{{ printf \"%s\" (print (print 1)) }}",
            "{{3 -}} x {{- 3}}",
        ] {
            assert_eq!(judge(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for (text, fault) in [
            ("{{ broken", Fault::Unclosed),
            ("{{", Fault::Unclosed),
            ("{{ /* x */ }}", Fault::Character),
            ("{{/* x", Fault::Comment),
            ("{{/* x */ y}}", Fault::Comment),
            ("{{ \"x }}", Fault::Quote),
            ("{{ `x }}", Fault::Quote),
            ("{{ 'x }}", Fault::Quote),
            ("{{ 'xy' }}", Fault::Escape),
            ("{{ \"\\q\" }}", Fault::Escape),
            ("{{ 1x }}", Fault::Number),
            ("{{ 0o71i }}", Fault::Number),
            ("{{ 99999999999999999999 }}", Fault::Number),
            ("{{ .a# }}", Fault::Character),
            ("{{ \u{1} }}", Fault::Character),
            ("{{ (print 1 }}", Fault::Parenthesis),
            ("{{ print 1) }}", Fault::Parenthesis),
            ("{{ }}", Fault::Missing),
            ("{{ if }}x{{ end }}", Fault::Missing),
            ("{{ () }}", Fault::Missing),
            ("{{ 1 | 2 }}", Fault::Pipeline),
            ("{{ nothere . }}", Fault::Function),
            ("{{ $x }}", Fault::Variable),
            ("{{ if .x }}{{ $y := 1 }}{{ end }}{{ $y }}", Fault::Variable),
            ("{{ if .x }}", Fault::Block),
            ("{{ end }}", Fault::Block),
            ("{{ else }}", Fault::Block),
            ("{{ if .x }}{{ else }}{{ else }}{{ end }}", Fault::Block),
            ("{{ break }}", Fault::Loop),
            ("{{ if .x }}{{ define \"a\" }}x{{ end }}{{ end }}", Fault::Unexpected),
            ("{{ define \"a\" }}x{{ end }}{{ define \"a\" }}y{{ end }}", Fault::Twice),
            ("{{ define a }}x{{ end }}", Fault::Unexpected),
            ("{{ template x }}", Fault::Unexpected),
            ("{{ $a, $b := .x }}", Fault::Unexpected),
            ("{{ .x := 1 }}", Fault::Unexpected),
            ("{{ 1.x }}", Fault::Number),
            ("{{ \"a\".b }}", Fault::Unexpected),
            ("{{ print, 1 }}", Fault::Unexpected),
        ] {
            assert_eq!(judge(text), Err(fault), "{text}");
        }
    }

    #[test]
    fn functions_are_those_of_the_version() {
        let at = |minor: &str| Functions::Alertmanager(minor.parse().unwrap());
        assert_eq!(check("{{ now }}", at("0.33")), Ok(()));
        assert_eq!(check("{{ now }}", at("0.32")), Err(Fault::Function));
        assert_eq!(check("{{ toUpper .x }}", Functions::Go), Err(Fault::Function));
        assert_eq!(check("{{ with .a }}{{ else with .b }}{{ end }}", at("0.27")), Err(Fault::Block));
    }

    /// Nobody can make Waxwing recurse without end. Guard: the depth of the parser.
    #[test]
    fn nesting_has_an_end() {
        assert_eq!(
            judge(&format!("{{{{ {}1{} }}}}", "(print ".repeat(5000), ")".repeat(5000))),
            Err(Fault::Deep)
        );
        assert_eq!(
            judge(&format!("{}{}", "{{ if . }}".repeat(5000), "{{ end }}".repeat(5000))),
            Err(Fault::Deep)
        );
        assert_eq!(
            judge(&format!("{{{{ if . }}}}{}{{{{ end }}}}", "{{ else if . }}".repeat(5000))),
            Err(Fault::Deep)
        );
    }
}
