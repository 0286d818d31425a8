//! The nodes of one document with the bytes they stand on.

use std::borrow::Cow;

use granit_parser::{Event, Parser, ScalarStyle, Span, StructureStyle};

use super::super::error::YamlError;
use super::super::read;

/// A node and where it stands.
pub(super) struct Node<'a> {
    /// First byte: of the value, of the bracket, of a block collection's first entry, or of a block
    /// scalar's indicator.
    pub(super) start: usize,
    /// Behind its last byte, without the line end.
    pub(super) end: usize,
    /// First byte of its tag or anchor.
    pub(super) properties: Option<usize>,
    pub(super) anchored: bool,
    pub(super) kind: Kind<'a>,
}

pub(super) enum Kind<'a> {
    Alias,
    Scalar { text: Cow<'a, str>, style: ScalarStyle },
    Map { flow: bool, entries: Vec<Entry<'a>> },
    List { flow: bool, items: Vec<Node<'a>> },
}

/// An entry of a mapping.
pub(super) struct Entry<'a> {
    pub(super) key: Node<'a>,
    pub(super) value: Node<'a>,
    /// Behind the colon; none for `? key` and for a lone key between brackets.
    pub(super) colon: Option<usize>,
}

impl Entry<'_> {
    pub(super) fn start(&self) -> usize {
        self.key.outer_start()
    }

    pub(super) fn end(&self) -> usize {
        if self.value.is_absent() { self.colon.unwrap_or(self.key.end) } else { self.value.end }
    }
}

impl<'a> Node<'a> {
    /// First byte with its tag and anchor.
    pub(super) fn outer_start(&self) -> usize {
        self.properties.map_or(self.start, |properties| properties.min(self.start))
    }

    pub(super) fn is_alias(&self) -> bool {
        matches!(self.kind, Kind::Alias)
    }

    /// A value that has no bytes.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self.kind, Kind::Scalar { style: ScalarStyle::Plain, .. })
            && self.start == self.end
            && self.properties.is_none()
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, style: ScalarStyle::Plain }
            if self.properties.is_none() && (self.is_absent() || matches!(text.as_ref(), "~" | "null" | "Null" | "NULL")))
    }

    /// Whether it is this text without quotes.
    pub(super) fn is_plain(&self, word: &str) -> bool {
        matches!(&self.kind, Kind::Scalar { text, style: ScalarStyle::Plain } if text == word)
    }

    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Whether this node or one below it is such.
    pub(super) fn any(&self, test: &dyn Fn(&Node<'_>) -> bool) -> bool {
        test(self)
            || match &self.kind {
                Kind::Map { entries, .. } => {
                    entries.iter().any(|entry| entry.key.any(test) || entry.value.any(test))
                }
                Kind::List { items, .. } => items.iter().any(|item| item.any(test)),
                _ => false,
            }
    }

    /// The block scalar that its last bytes are: the text of one depends on what follows it.
    pub(super) fn final_block_scalar(&self) -> Option<&Self> {
        match &self.kind {
            Kind::Scalar { style: ScalarStyle::Literal | ScalarStyle::Folded, .. } => Some(self),
            Kind::Map { flow: false, entries } => entries.last()?.value.final_block_scalar(),
            Kind::List { flow: false, items } => items.last()?.final_block_scalar(),
            _ => None,
        }
    }
}

/// One document's text and its nodes.
pub(super) struct Source<'a> {
    pub(super) text: &'a str,
    pub(super) root: Node<'a>,
    /// How its lines end.
    pub(super) eol: &'static str,
}

impl<'a> Source<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, YamlError> {
        let mut builder = Builder {
            text,
            events: Parser::new_from_str_with_options(text, read::parser_options()),
            peeked: None,
            cursor: 0,
        };
        let root = loop {
            match builder.next()? {
                Some((event, span)) if event.is_node() => break builder.node(event, span)?,
                Some(_) => {}
                None => break builder.absent(0),
            }
        };
        let first = text.find('\n').unwrap_or(0);
        let eol = if first > 0 && text.as_bytes().get(first - 1) == Some(&b'\r') { "\r\n" } else { "\n" };
        Ok(Self { text, root, eol })
    }

    /// First byte of the line.
    pub(super) fn line_start(&self, at: usize) -> usize {
        self.text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1)
    }

    /// Where the line's end begins, or the text's end.
    pub(super) fn line_end(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        let line = rest.find('\n').map_or(rest, |newline| &rest[..newline]);
        at + line.strip_suffix('\r').unwrap_or(line).len()
    }

    /// First byte of the next line, or the text's end.
    pub(super) fn next_line(&self, at: usize) -> usize {
        self.text
            .get(at..)
            .and_then(|rest| rest.find('\n'))
            .map_or(self.text.len(), |newline| at + newline + 1)
    }

    /// Bytes from the start of the line.
    pub(super) fn column(&self, at: usize) -> usize {
        at - self.line_start(at)
    }

    /// Bytes of space at the start of the line.
    pub(super) fn indent(&self, at: usize) -> usize {
        let line = self.text.get(self.line_start(at)..).unwrap_or_default();
        line.len() - line.trim_start_matches(' ').len()
    }

    /// Whether only spaces stand before it on its line.
    pub(super) fn begins_line(&self, at: usize) -> bool {
        self.indent(at) == self.column(at)
    }

    /// Whether only spaces and a comment stand behind it on its line.
    pub(super) fn ends_line(&self, at: usize) -> bool {
        let rest = self.text.get(at..self.line_end(at)).unwrap_or_default();
        let trimmed = rest.trim_start_matches([' ', '\t']);
        trimmed.is_empty() || (trimmed.starts_with('#') && trimmed.len() < rest.len())
    }

    /// The comma behind it, past spaces, line ends and comments.
    pub(super) fn comma(&self, at: usize) -> Option<usize> {
        let at = skip_blank(self.text, at, true);
        (self.text.as_bytes().get(at) == Some(&b',')).then_some(at)
    }
}

/// The next byte that is neither space nor comment, nor line end where `lines` are skipped too.
fn skip_blank(text: &str, mut at: usize, lines: bool) -> usize {
    let bytes = text.as_bytes();
    while let Some(byte) = bytes.get(at) {
        match byte {
            b' ' | b'\t' => at += 1,
            b'\n' | b'\r' if lines => at += 1,
            b'#' if lines && at > 0 && bytes[at - 1].is_ascii_whitespace() => {
                at += bytes[at..].iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len() - at);
            }
            _ => break,
        }
    }
    at
}

struct Builder<'a> {
    text: &'a str,
    events: Parser<'a, granit_parser::StrInput<'a>>,
    peeked: Option<(Event<'a>, Span)>,
    /// Behind the last node's bytes.
    cursor: usize,
}

impl<'a> Builder<'a> {
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, YamlError> {
        match self.peeked.take() {
            Some(event) => Ok(Some(event)),
            None => self.events.next().transpose().map_err(|error| YamlError::of_scan(&error, 0)),
        }
    }

    fn absent(&self, at: usize) -> Node<'a> {
        let kind = Kind::Scalar { text: Cow::Borrowed(""), style: ScalarStyle::Plain };
        Node { start: at, end: at, properties: None, anchored: false, kind }
    }

    fn node(&mut self, event: Event<'a>, span: Span) -> Result<Node<'a>, YamlError> {
        let range = span.byte_range().unwrap_or(self.cursor..self.cursor);
        let mut properties = span.tag_start().and_then(|tag| tag.byte_offset());
        let mut anchored = false;
        match self.next()? {
            Some((Event::Anchor(..), span)) => {
                anchored = true;
                let anchor = span.start.byte_offset();
                properties = properties.into_iter().chain(anchor).min();
            }
            other => self.peeked = other,
        }
        let (mut start, mut end) = (range.start, range.end);
        let kind = match event {
            Event::Scalar(text, style, ..) => {
                if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
                    start = self.indicator(start);
                    end = self.block_scalar_end(start, range, &text);
                }
                Kind::Scalar { text, style }
            }
            Event::SequenceStart(style, ..) => {
                self.cursor = end;
                let flow = style == StructureStyle::Flow;
                let mut items = Vec::new();
                while let Some((event, span)) = self.next()? {
                    match event {
                        Event::SequenceEnd => {
                            end = closing(flow, &span, self.cursor);
                            break;
                        }
                        event => items.push(self.node(event, span)?),
                    }
                }
                Kind::List { flow, items }
            }
            Event::MappingStart(style, ..) => {
                self.cursor = end;
                let flow = style == StructureStyle::Flow;
                let mut entries = Vec::new();
                while let Some((event, span)) = self.next()? {
                    match event {
                        Event::MappingEnd => {
                            end = closing(flow, &span, self.cursor);
                            break;
                        }
                        event => entries.push(self.entry(event, span, flow)?),
                    }
                }
                if let (false, Some(first)) = (flow, entries.first()) {
                    start = start.min(first.start());
                }
                Kind::Map { flow, entries }
            }
            _ => Kind::Alias,
        };
        self.cursor = self.cursor.max(end);
        Ok(Node { start, end, properties, anchored, kind })
    }

    fn entry(&mut self, event: Event<'a>, span: Span, flow: bool) -> Result<Entry<'a>, YamlError> {
        let key = self.node(event, span)?;
        let at = skip_blank(self.text, key.end, flow);
        let colon = (self.text.as_bytes().get(at) == Some(&b':')).then_some(at + 1);
        self.cursor = self.cursor.max(colon.unwrap_or(key.end));
        let mut value = match self.next()? {
            Some((event, span)) => self.node(event, span)?,
            None => self.absent(self.cursor),
        };
        if value.is_absent() {
            value = self.absent(colon.unwrap_or(key.end));
        } else if let (Kind::List { flow: false, .. }, Some(colon)) = (&value.kind, colon) {
            // The span of a list at the column of its key begins behind the first dash.
            let dash = skip_blank(self.text, colon, true);
            if self.text.as_bytes().get(dash) == Some(&b'-') {
                value.start = dash;
            }
        }
        Ok(Entry { key, value, colon })
    }

    /// The span of a block scalar begins with its text; its `|` or `>` stands before that.
    fn indicator(&self, text_start: usize) -> usize {
        let bytes = self.text.as_bytes();
        let mut at = self.cursor;
        while at < text_start {
            at = skip_blank(self.text, at, true);
            match bytes.get(at) {
                Some(b'|' | b'>') => return at,
                Some(b'!' | b'&') => {
                    at += bytes[at..].iter().position(u8::is_ascii_whitespace).unwrap_or(bytes.len() - at);
                }
                Some(_) => at += 1,
                None => break,
            }
        }
        text_start
    }

    /// Blank lines behind a block scalar are its own only where they are part of its text.
    fn block_scalar_end(&self, indicator: usize, span: std::ops::Range<usize>, value: &str) -> usize {
        let bytes = self.text.as_bytes();
        let header = indicator
            + bytes[indicator..].iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len() - indicator);
        let header = header - usize::from(header > 0 && bytes.get(header - 1) == Some(&b'\r'));
        let body = self.text.get(span.start..span.end).unwrap_or_default();
        let text = value.trim_end_matches('\n');
        let keeps =
            value.ends_with("\n\n") || text.is_empty() && !value.is_empty() || text.ends_with([' ', '\t']);
        let body = if keeps {
            // The span reaches into the indentation of the next line.
            let spaces = body.len() - body.trim_end_matches([' ', '\t']).len();
            let body = if body.trim_end_matches([' ', '\t']).ends_with('\n') {
                &body[..body.len() - spaces]
            } else {
                body
            };
            let body = body.strip_suffix('\n').unwrap_or(body);
            body.strip_suffix('\r').unwrap_or(body)
        } else {
            body.trim_end_matches([' ', '\t', '\r', '\n'])
        };
        if body.is_empty() { header } else { header.max(span.start + body.len()) }
    }
}

/// The end of a collection: of its bracket, or of the last thing in it.
fn closing(flow: bool, span: &Span, cursor: usize) -> usize {
    match span.end.byte_offset() {
        Some(end) if flow => end,
        _ => cursor,
    }
}
