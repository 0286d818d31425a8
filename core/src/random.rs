//! OS randomness: the only effect on the world in this crate.
//!
//! (The `age` crate draws its own randomness for file keys, ephemeral shares and nonces.)

/// The operating system gave no randomness; nothing can be sealed.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no randomness")]
pub struct NoRandomness;

/// Random bytes from the operating system.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut out = [0; N];
    #[expect(clippy::disallowed_methods, reason = "the one place where randomness is drawn")]
    getrandom::fill(&mut out).map_err(|_| NoRandomness)?;
    Ok(out)
}
