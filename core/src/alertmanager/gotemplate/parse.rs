//! A template's grammar.

use super::{Fault, Functions, lex::Token};

/// How deep actions and parentheses may nest. Go's own limit for parentheses is higher; nobody needs either.
const MAX_DEPTH: usize = 100;

const KEYWORDS: &[&str] =
    &["block", "break", "continue", "define", "else", "end", "if", "range", "template", "with"];

/// Checks the tokens of a template.
pub(super) fn parse(tokens: &[Token<'_>], functions: Functions) -> Result<(), Fault> {
    let mut parser =
        Parser { tokens, at: 0, functions, variables: vec!["$"], loops: 0, depth: 0, defined: Vec::new() };
    while let Some(token) = parser.peek() {
        if token == Token::Left && parser.keyword_behind() == Some("define") {
            parser.definition()?;
        } else if !matches!(parser.item()?, Item::Plain) {
            return Err(Fault::Block);
        }
    }
    Ok(())
}

struct Parser<'a> {
    tokens: &'a [Token<'a>],
    at: usize,
    functions: Functions,
    variables: Vec<&'a str>,
    loops: usize,
    depth: usize,
    /// Names of templates that have a content.
    defined: Vec<&'a str>,
}

/// What a piece of a template is.
enum Item {
    Plain,
    End,
    /// And the keyword behind it, whose action goes on.
    Else(Option<Control>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Control {
    If,
    Range,
    With,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.at).copied()
    }

    /// The next token that is no space, without taking it. Spaces before it are taken.
    fn peek_word(&mut self) -> Option<Token<'a>> {
        while self.peek() == Some(Token::Space) {
            self.at += 1;
        }
        self.peek()
    }

    fn next_word(&mut self) -> Option<Token<'a>> {
        let token = self.peek_word();
        self.at += 1;
        token
    }

    fn expect(&mut self, token: Token<'_>) -> Result<(), Fault> {
        if self.next_word() == Some(token) { Ok(()) } else { Err(Fault::Unexpected) }
    }

    /// The keyword of the action that begins here.
    fn keyword_behind(&self) -> Option<&'a str> {
        let mut behind = self.tokens[self.at..].iter().skip(1).skip_while(|token| **token == Token::Space);
        match behind.next() {
            Some(Token::Word(word)) if KEYWORDS.contains(word) => Some(word),
            _ => None,
        }
    }

    fn deeper<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        if self.depth >= MAX_DEPTH {
            return Err(Fault::Deep);
        }
        self.depth += 1;
        let done = work(self);
        self.depth -= 1;
        done
    }

    /// `{{ define "name" }} … {{ end }}`
    fn definition(&mut self) -> Result<(), Fault> {
        self.at += 1;
        self.next_word();
        let name = self.name()?;
        self.expect(Token::Right)?;
        self.template(name)
    }

    fn name(&mut self) -> Result<&'a str, Fault> {
        if let Some(Token::Quoted(name)) = self.next_word() { Ok(name) } else { Err(Fault::Unexpected) }
    }

    /// What belongs to a name, up to `end`.
    fn template(&mut self, name: &'a str) -> Result<(), Fault> {
        let outer = (std::mem::replace(&mut self.variables, vec!["$"]), std::mem::take(&mut self.loops));
        let (end, is_empty) = self.deeper(Self::items)?;
        (self.variables, self.loops) = outer;
        if !matches!(end, Item::End) {
            return Err(Fault::Block);
        }
        if !is_empty {
            if self.defined.contains(&name) {
                return Err(Fault::Twice);
            }
            self.defined.push(name);
        }
        Ok(())
    }

    /// Items up to an `else` or `end`, and whether there was nothing.
    fn items(&mut self) -> Result<(Item, bool), Fault> {
        let mut is_empty = true;
        while self.peek_word().is_some() {
            match self.item()? {
                Item::Plain => is_empty = false,
                end => return Ok((end, is_empty)),
            }
        }
        Err(Fault::Block)
    }

    fn item(&mut self) -> Result<Item, Fault> {
        match self.next_word() {
            Some(Token::Left) => self.action(),
            _ => Ok(Item::Plain), // a text: lexing leaves nothing else here
        }
    }

    fn action(&mut self) -> Result<Item, Fault> {
        let Some(Token::Word(word)) = self.peek_word() else { return self.command_action() };
        if !KEYWORDS.contains(&word) {
            return self.command_action();
        }
        self.next_word();
        match word {
            "if" => self.control(Control::If),
            "range" => self.control(Control::Range),
            "with" => self.control(Control::With),
            "end" => self.expect(Token::Right).map(|()| Item::End),
            "else" => self.otherwise(),
            "template" => {
                self.name()?;
                if self.peek_word() == Some(Token::Right) {
                    self.next_word();
                } else {
                    self.pipeline(Token::Right, false)?;
                }
                Ok(Item::Plain)
            }
            "block" => {
                let name = self.name()?;
                self.pipeline(Token::Right, false)?;
                self.template(name)?;
                Ok(Item::Plain)
            }
            "break" | "continue" => {
                self.expect(Token::Right)?;
                if self.loops == 0 { Err(Fault::Loop) } else { Ok(Item::Plain) }
            }
            _ => Err(Fault::Unexpected), // define, but not at the top
        }
    }

    fn command_action(&mut self) -> Result<Item, Fault> {
        self.pipeline(Token::Right, false).map(|()| Item::Plain)
    }

    fn otherwise(&mut self) -> Result<Item, Fault> {
        let control = match self.peek_word() {
            Some(Token::Word("if")) => Control::If,
            Some(Token::Word("with")) => Control::With,
            _ => return self.expect(Token::Right).map(|()| Item::Else(None)),
        };
        Ok(Item::Else(Some(control)))
    }

    fn control(&mut self, control: Control) -> Result<Item, Fault> {
        self.deeper(|parser| parser.control_body(control))
    }

    fn control_body(&mut self, control: Control) -> Result<Item, Fault> {
        let variables = self.variables.len();
        let is_loop = control == Control::Range;
        self.pipeline(Token::Right, is_loop)?;
        self.loops += usize::from(is_loop);
        let (end, _) = self.items()?;
        self.loops -= usize::from(is_loop);
        match end {
            Item::Else(Some(next)) => {
                let is_allowed = next == control && (next == Control::If || self.functions.has_else_with());
                if !is_allowed {
                    return Err(Fault::Block);
                }
                self.next_word();
                self.control(next)?;
            }
            Item::Else(None) => {
                let (end, _) = self.items()?;
                if !matches!(end, Item::End) {
                    return Err(Fault::Block);
                }
            }
            _ => {}
        }
        self.variables.truncate(variables);
        Ok(Item::Plain)
    }

    /// Commands with pipes between them, up to a token. Only `range` may declare two variables.
    fn pipeline(&mut self, end: Token<'_>, in_range: bool) -> Result<(), Fault> {
        self.declarations(in_range)?;
        let mut commands = 0;
        loop {
            match self.peek_word() {
                Some(token) if token == end => {
                    self.next_word();
                    return if commands > 0 { Ok(()) } else { Err(Fault::Missing) };
                }
                Some(
                    Token::Value(_)
                    | Token::Quoted(_)
                    | Token::Variable(_)
                    | Token::Field
                    | Token::Word(_)
                    | Token::LeftParen,
                ) => {
                    let is_value = self.command()?;
                    if commands > 0 && is_value {
                        return Err(Fault::Pipeline);
                    }
                    commands += 1;
                }
                _ => return Err(Fault::Unexpected),
            }
        }
    }

    fn declarations(&mut self, in_range: bool) -> Result<(), Fault> {
        for number in 0..2 {
            let Some(Token::Variable(name)) = self.peek_word() else { return Ok(()) };
            let back = self.at;
            self.next_word();
            match self.peek_word() {
                Some(Token::Assign | Token::Declare) => {
                    self.next_word();
                    self.variables.push(name);
                    return Ok(());
                }
                Some(Token::Comma) if in_range && number == 0 => {
                    self.next_word();
                    self.variables.push(name);
                    if !matches!(
                        self.peek_word(),
                        Some(Token::Variable(_) | Token::Right | Token::RightParen)
                    ) {
                        return Err(Fault::Unexpected);
                    }
                }
                Some(Token::Comma) => return Err(Fault::Unexpected),
                _ => {
                    self.at = back;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// One command; whether it begins with a value that can't be called.
    fn command(&mut self) -> Result<bool, Fault> {
        let mut first = None;
        loop {
            self.peek_word();
            let is_value = self.operand()?;
            first = first.or(is_value);
            match self.peek() {
                Some(Token::Space) => self.at += 1,
                Some(Token::Pipe) => {
                    self.at += 1;
                    break;
                }
                Some(Token::Right | Token::RightParen) => break,
                _ => return Err(Fault::Unexpected),
            }
        }
        first.ok_or(Fault::Missing)
    }

    /// A term and the fields of it; whether it is a value that can't be called. `None` where there is no term.
    fn operand(&mut self) -> Result<Option<bool>, Fault> {
        let Some(token) = self.peek_word() else { return Err(Fault::Unexpected) };
        let is_value = match token {
            Token::Value(_) | Token::Quoted(_) => true,
            Token::Field => false,
            Token::Variable(name) if self.variables.contains(&name) => false,
            Token::Variable(_) => return Err(Fault::Variable),
            Token::Word(name) if KEYWORDS.contains(&name) => return Err(Fault::Unexpected),
            Token::Word(name) if self.functions.has(name) => false,
            Token::Word(_) => return Err(Fault::Function),
            Token::LeftParen => {
                self.at += 1;
                self.deeper(|parser| parser.pipeline(Token::RightParen, false))?;
                self.at -= 1; // stands on the closing one, as the others stand on their only token
                false
            }
            _ => return Ok(None),
        };
        self.at += 1;
        while self.peek() == Some(Token::Field) {
            if is_value {
                return Err(Fault::Unexpected);
            }
            self.at += 1;
        }
        Ok(Some(is_value))
    }
}
