//! Classes of characters, and escapes, which stand in classes and outside.

use super::{
    PatternError::{self, Invalid, Unsupported},
    names::{CATEGORIES, PERL, POSIX, SCRIPTS},
};

/// What is left to read.
pub(super) struct Input<'a> {
    pub(super) rest: &'a str,
}

impl Input<'_> {
    pub(super) fn next(&mut self) -> Option<char> {
        let character = self.rest.chars().next()?;
        self.rest = &self.rest[character.len_utf8()..];
        Some(character)
    }

    pub(super) fn accept(&mut self, prefix: &str) -> bool {
        let rest = self.rest.strip_prefix(prefix);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// A class, from its opening bracket to its closing one.
    pub(super) fn class(&mut self) -> Result<String, PatternError> {
        const OPEN: PatternError = Invalid("a class of characters has no end");
        self.accept("[");
        let mut out = String::from(if self.accept("^") { "[^" } else { "[" });
        let mut is_first = true;
        while is_first || !self.rest.starts_with(']') {
            is_first = false;
            if let Some(class) = self.posix()? {
                out.push_str(&class);
            } else if let Some(class) = self.named()? {
                out.push_str(&class);
            } else {
                let low = self.of_class().ok_or(OPEN)??;
                let mut high = low;
                let range =
                    self.rest.strip_prefix('-').filter(|rest| !rest.is_empty() && !rest.starts_with(']'));
                if let Some(rest) = range {
                    self.rest = rest;
                    high = self.of_class().ok_or(OPEN)??;
                }
                if high < low {
                    return Err(Invalid("a range of characters is the wrong way round"));
                }
                out.push_str(&format!("{}-{}", literal(low), literal(high)));
            }
        }
        self.accept("]");
        out.push(']');
        Ok(out)
    }

    fn of_class(&mut self) -> Option<Result<char, PatternError>> {
        if self.rest.starts_with('\\') { Some(self.escape()) } else { self.next().map(Ok) }
    }

    fn posix(&mut self) -> Result<Option<String>, PatternError> {
        let named = self.rest.strip_prefix("[:").and_then(|rest| rest.split_once(":]"));
        let Some((name, rest)) = named else { return Ok(None) };
        self.rest = rest;
        let (not, name) = name.strip_prefix('^').map_or(("", name), |name| ("^", name));
        let found = POSIX.iter().find(|(known, _)| *known == name);
        let (_, ranges) = found.ok_or(Invalid("there is no such class of characters"))?;
        Ok(Some(format!("[{not}{ranges}]")))
    }

    /// `\d` or `\p{…}`, if one comes.
    pub(super) fn named(&mut self) -> Result<Option<String>, PatternError> {
        let Some(name) = self.rest.strip_prefix('\\').and_then(|rest| rest.chars().next()) else {
            return Ok(None);
        };
        if matches!(name, 'p' | 'P') {
            return self.unicode().map(Some);
        }
        let perl = PERL.iter().find(|(known, _)| known.eq_ignore_ascii_case(&name));
        Ok(perl.map(|(_, ranges)| {
            self.rest = &self.rest[2..];
            format!("[{}{ranges}]", if name.is_ascii_uppercase() { "^" } else { "" })
        }))
    }

    fn unicode(&mut self) -> Result<String, PatternError> {
        const UNKNOWN: PatternError =
            Unsupported(r"it uses \p with a name that is not a script or category of every version");
        let mut is_not = self.rest.starts_with("\\P");
        self.rest = &self.rest[2..];
        let name = if self.accept("{") {
            let (name, rest) = self.rest.split_once('}').ok_or(Invalid(r"\p{ has no end"))?;
            self.rest = rest;
            name.to_owned()
        } else {
            self.next().ok_or(Invalid(r"\p has no name"))?.to_string()
        };
        let name = name.strip_prefix('^').map_or(name.as_str(), |name| {
            is_not = !is_not;
            name
        });
        let is_in = |list: &str| list.split(' ').any(|known| known == name);
        let property = match () {
            () if is_in(CATEGORIES) => format!("gc={name}"),
            () if is_in(SCRIPTS) => format!("sc={name}"),
            () => return Err(UNKNOWN),
        };
        Ok(format!("[\\{}{{{property}}}]", if is_not { 'P' } else { 'p' }))
    }

    /// An escape that stands for one character.
    pub(super) fn escape(&mut self) -> Result<char, PatternError> {
        const WRONG: PatternError = Invalid(r"there is no such escape with \");
        self.accept("\\");
        let character = self.next().ok_or(Invalid(r"it ends in \"))?;
        let code = match character {
            'a' => 0x07,
            'f' => 0x0c,
            'n' => 0x0a,
            'r' => 0x0d,
            't' => 0x09,
            'v' => 0x0b,
            'x' => self.hexadecimal().ok_or(WRONG)?,
            '1'..='7' if !self.rest.starts_with(is_octal) => return Err(WRONG),
            '0'..='7' => {
                let mut code = u32::from(character) - u32::from('0');
                for _ in 1..3 {
                    let Some(digit) = self.rest.chars().next().filter(|next| is_octal(*next)) else { break };
                    code = code * 8 + u32::from(digit) - u32::from('0');
                    self.next();
                }
                code
            }
            _ if character.is_ascii() && !character.is_ascii_alphanumeric() => u32::from(character),
            _ => return Err(WRONG),
        };
        // Go takes halves of surrogate pairs, which no text holds.
        char::from_u32(code).ok_or(Unsupported("it names a character that no text can hold"))
    }

    fn hexadecimal(&mut self) -> Option<u32> {
        let digits = if self.accept("{") {
            let (digits, rest) = self.rest.split_once('}')?;
            self.rest = rest;
            digits
        } else {
            let (digits, rest) = self.rest.split_at_checked(2)?;
            self.rest = rest;
            digits
        };
        let is_hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let code = u32::from_str_radix(digits.trim_start_matches('0'), 16).or_else(|_| {
            // Nothing but zeros.
            digits.trim_start_matches('0').is_empty().then_some(0).ok_or(())
        });
        code.ok().filter(|code| is_hexadecimal && !digits.is_empty() && *code <= 0x10_ffff)
    }
}

fn is_octal(character: char) -> bool {
    ('0'..='7').contains(&character)
}

/// One character, such that it means itself in a class and outside.
pub(super) fn literal(character: char) -> String {
    if character.is_ascii_alphanumeric() {
        character.to_string()
    } else {
        format!("\\x{{{:x}}}", u32::from(character))
    }
}
