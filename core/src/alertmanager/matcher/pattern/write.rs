//! An expression of Go, written in Rust's syntax.

use super::{
    PatternError::{self, Invalid, Unsupported},
    class::{Input, literal},
};

/// The most that Go repeats, also by repetitions in repetitions.
const MAX_REPEAT: u32 = 1000;

#[derive(Clone, Copy, Default)]
struct Flags {
    ignore_case: bool,
    many_lines: bool,
    dot_all: bool,
}

/// What a repetition after it would repeat.
#[derive(Clone, Copy)]
struct Atom {
    start: usize,
    /// How often its innermost part is repeated.
    weight: u32,
}

/// A group that is open.
struct Group {
    start: usize,
    /// What applies again after it.
    flags: Flags,
    /// The heaviest atom in it.
    weight: u32,
}

/// Writes an expression anew.
pub(super) fn translate(expression: &str) -> Result<String, PatternError> {
    let mut writer = Writer {
        input: Input { rest: expression },
        out: String::with_capacity(expression.len() * 2),
        flags: Flags::default(),
        groups: Vec::new(),
        last: None,
        weight: 0,
    };
    let mut is_repeated = false;
    while let Some(character) = writer.input.rest.chars().next() {
        is_repeated = writer.one(character, is_repeated)?;
    }
    if writer.groups.is_empty() { Ok(writer.out) } else { Err(Invalid("a parenthesis is missing")) }
}

struct Writer<'a> {
    input: Input<'a>,
    out: String,
    flags: Flags,
    groups: Vec<Group>,
    last: Option<Atom>,
    /// The heaviest atom in the innermost group so far.
    weight: u32,
}

impl Writer<'_> {
    /// Reads one part, and says whether it was a repetition.
    fn one(&mut self, character: char, is_repeated: bool) -> Result<bool, PatternError> {
        let flags = self.flags;
        match character {
            '(' => self.open()?,
            '|' => {
                self.input.next();
                self.settle();
                self.out.push('|');
            }
            ')' => self.close()?,
            '^' => self.plain(if flags.many_lines { "(?m:^)" } else { r"\A" }),
            '$' => self.plain(if flags.many_lines { "(?m:$)" } else { r"\z" }),
            '.' => self.plain(if flags.dot_all { "(?s:.)" } else { "." }),
            '[' => {
                let class = self.input.class()?;
                self.class(&class);
            }
            '*' | '+' | '?' => {
                self.input.next();
                self.repeat(&character.to_string(), 1, is_repeated)?;
                return Ok(true);
            }
            '{' => {
                if let Some((min, max)) = self.counted() {
                    return self.repeat_counted(min, max, is_repeated);
                }
                self.input.next();
                self.literal(character);
            }
            '\\' => self.escape()?,
            _ => {
                self.input.next();
                self.literal(character);
            }
        }
        Ok(false)
    }

    /// Something that is read and written in one piece.
    fn plain(&mut self, text: &str) {
        self.input.next();
        self.atom(text);
    }

    fn atom(&mut self, text: &str) {
        self.settle();
        self.last = Some(Atom { start: self.out.len(), weight: 1 });
        self.out.push_str(text);
    }

    fn literal(&mut self, character: char) {
        let text = literal(character);
        self.class(&text);
    }

    /// Something that upper and lower case matter to.
    fn class(&mut self, text: &str) {
        if self.flags.ignore_case { self.atom(&format!("(?i:{text})")) } else { self.atom(text) }
    }

    /// The last atom is not repeated any more.
    fn settle(&mut self) {
        self.weight = self.weight.max(self.last.take().map_or(0, |atom| atom.weight));
    }

    fn escape(&mut self) -> Result<(), PatternError> {
        let rest = &self.input.rest[1..];
        match rest.chars().next() {
            Some('A') => self.look(r"\A"),
            Some('z') => self.look(r"\z"),
            Some('b') => self.look(r"(?-u:\b)"),
            Some('B') => self.look(r"(?-u:\B)"),
            Some('Q') => {
                let rest = &rest[1..];
                let (text, rest) = rest.split_once("\\E").unwrap_or((rest, ""));
                self.input.rest = rest;
                text.chars().for_each(|character| self.literal(character));
            }
            _ => {
                if let Some(class) = self.input.named()? {
                    self.class(&class);
                } else {
                    let character = self.input.escape()?;
                    self.literal(character);
                }
            }
        }
        Ok(())
    }

    fn look(&mut self, text: &str) {
        self.input.rest = &self.input.rest[2..];
        self.atom(text);
    }

    fn open(&mut self) -> Result<(), PatternError> {
        let before = self.flags;
        self.input.accept("(");
        if self.input.accept("?") && !self.flags_or_name()? {
            // Flags for what follows. They are nothing that could be repeated, and what stands before them still is.
            return Ok(());
        }
        self.settle();
        self.groups.push(Group { start: self.out.len(), flags: before, weight: self.weight });
        self.weight = 0;
        self.out.push_str("(?:");
        Ok(())
    }

    /// What follows `(?`: whether it opens a group.
    fn flags_or_name(&mut self) -> Result<bool, PatternError> {
        const WRONG: PatternError = Invalid("(? is followed by what Go does not know");
        if self.input.rest.starts_with('<') {
            return Err(Unsupported(
                "a named group is written (?P<name>…) to be understood by every version",
            ));
        }
        if self.input.accept("P<") {
            let (name, rest) = self.input.rest.split_once('>').ok_or(WRONG)?;
            self.input.rest = rest;
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            return if !name.is_empty() && name.bytes().all(is_name) { Ok(true) } else { Err(WRONG) };
        }
        let (mut value, mut is_dangling) = (true, false);
        loop {
            match self.input.next().ok_or(WRONG)? {
                'i' => self.flags.ignore_case = value,
                'm' => self.flags.many_lines = value,
                's' => self.flags.dot_all = value,
                'U' => {}
                '-' if value => {
                    (value, is_dangling) = (false, true);
                    continue;
                }
                end @ (':' | ')') if !is_dangling => return Ok(end == ':'),
                _ => return Err(WRONG),
            }
            is_dangling = false;
        }
    }

    fn close(&mut self) -> Result<(), PatternError> {
        self.input.next();
        self.settle();
        let group = self.groups.pop().ok_or(Invalid("a parenthesis is too many"))?;
        self.out.push(')');
        self.last = Some(Atom { start: group.start, weight: self.weight.max(1) });
        self.weight = group.weight;
        self.flags = group.flags;
        Ok(())
    }

    fn repeat(&mut self, how: &str, times: u32, is_repeated: bool) -> Result<(), PatternError> {
        self.input.accept("?");
        if is_repeated {
            return Err(Invalid("a repetition is repeated without parentheses"));
        }
        let atom = self.last.as_mut().ok_or(Invalid("a repetition has nothing to repeat"))?;
        atom.weight = atom.weight.saturating_mul(times);
        self.out.insert_str(atom.start, "(?:");
        self.out.push(')');
        self.out.push_str(how);
        Ok(())
    }

    fn repeat_counted(
        &mut self,
        min: u32,
        max: Option<u32>,
        is_repeated: bool,
    ) -> Result<bool, PatternError> {
        const TOO_MANY: PatternError = Invalid("it repeats more than 1000 times");
        let most = max.unwrap_or(min);
        if min > MAX_REPEAT || most > MAX_REPEAT {
            return Err(TOO_MANY);
        }
        if max.is_some_and(|max| max < min) {
            return Err(Invalid("a repetition's least is more than its most"));
        }
        let how = max.map_or_else(|| format!("{{{min},}}"), |max| format!("{{{min},{max}}}"));
        self.repeat(&how, most.max(1), is_repeated)?;
        if let Some(atom) = &mut self.last {
            if max == Some(0) {
                atom.weight = 1; // nothing of it is left
            }
            if most >= 2 && atom.weight > MAX_REPEAT {
                return Err(TOO_MANY);
            }
        }
        Ok(true)
    }

    /// `{n}`, `{n,}` or `{n,m}`, if one comes. Anything else with a brace is literal.
    fn counted(&mut self) -> Option<(u32, Option<u32>)> {
        let (inside, rest) = self.input.rest.strip_prefix('{')?.split_once('}')?;
        let (min, max) = match inside.split_once(',') {
            None => (number(inside)?, Some(number(inside)?)),
            Some((min, "")) => (number(min)?, None),
            Some((min, max)) => (number(min)?, Some(number(max)?)),
        };
        self.input.rest = rest;
        Some((min, max))
    }
}

/// Without leading zeros. What is too large is larger than any repetition may be.
fn number(digits: &str) -> Option<u32> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && (digits == "0" || !digits.starts_with('0'))).then(|| digits.parse().unwrap_or(u32::MAX))
}
