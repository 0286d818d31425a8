//! Blocks of PEM. They are taken as they stand: nothing is copied but what is asked for, and that into memory that is
//! wiped.

use minijinja::Value;

use super::encoding::{STANDARD, decode};
use crate::{
    Secret,
    template::external::{Fault, run::Run},
};

type Made = Result<Value, Fault>;

/// One block.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    /// What it says to be.
    pub(super) kind: &'a str,
    /// All of it, from `-----BEGIN` on.
    text: &'a str,
    /// What stands between its two markers.
    inner: &'a str,
}

impl Block<'_> {
    /// What is encoded there.
    pub(super) fn decoded(&self) -> Result<Secret, Fault> {
        decode(self.inner.as_bytes(), &STANDARD).map_err(|_| Fault::NotPem)
    }
}

/// All blocks of a text.
pub(super) fn blocks(text: &str) -> Result<Vec<Block<'_>>, Fault> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(BEGIN) {
        let begun = &rest[start..];
        let (kind, behind) = begun[BEGIN.len()..].split_once("-----").ok_or(Fault::NotPem)?;
        let end = format!("-----END {kind}-----");
        let length = behind.find(&end).ok_or(Fault::NotPem)?;
        let (text, after) = begun.split_at(begun.len() - behind.len() + length + end.len());
        found.push(Block { kind, text, inner: &behind[..length] });
        rest = after;
    }
    Ok(found)
}

const BEGIN: &str = "-----BEGIN ";

pub(super) const CERTIFICATE: &str = "CERTIFICATE";

/// All blocks of a kind.
pub(super) fn pem(run: &Run, arguments: &[Value]) -> Made {
    let (content, kind) = (run.read(&arguments[0])?, run.read(&arguments[1])?);
    let kind = kind.as_str()?;
    let blocks = of_kind(blocks(content.as_str()?)?, kind);
    if blocks.is_empty() {
        return Err(Fault::NotPem);
    }
    written(run, &blocks)
}

/// The first block of a kind.
pub(super) fn pem_first(run: &Run, arguments: &[Value]) -> Made {
    let (content, kind) = (run.read(&arguments[0])?, run.read(&arguments[1])?);
    let blocks = of_kind(blocks(content.as_str()?)?, kind.as_str()?);
    written(run, blocks.get(..1).ok_or(Fault::NotPem)?)
}

/// The first certificate.
pub(super) fn cert_leaf(run: &Run, arguments: &[Value]) -> Made {
    let content = run.read(&arguments[0])?;
    let blocks = of_kind(blocks(content.as_str()?)?, CERTIFICATE);
    written(run, blocks.get(..1).ok_or(Fault::NotPem)?)
}

/// All certificates but the first, of which there may be none.
pub(super) fn cert_chain(run: &Run, arguments: &[Value]) -> Made {
    let content = run.read(&arguments[0])?;
    let blocks = of_kind(blocks(content.as_str()?)?, CERTIFICATE);
    written(run, blocks.get(1..).ok_or(Fault::NotPem)?)
}

fn of_kind<'a>(blocks: Vec<Block<'a>>, kind: &str) -> Vec<Block<'a>> {
    blocks.into_iter().filter(|block| block.kind == kind).collect()
}

fn written(run: &Run, blocks: &[Block<'_>]) -> Made {
    run.make(|out| {
        blocks.iter().try_for_each(|block| {
            out.push(block.text.as_bytes())?;
            out.push(b"\n")
        })
    })
}
