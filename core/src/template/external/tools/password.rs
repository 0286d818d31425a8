//! Hashes of passwords.
//!
//! A hash with a random salt would be another one at each refresh: the Secret would change, and its consumers restart,
//! without a reason. So the salt is made of what does not change: the namespace and the name of the object, the key of the
//! Secret, the user or a number, and the cost. A salt is no secret; it has to be another one for each hash, so that nobody can
//! prepare a table of hashes or attack several at once, and this one is. It is not made of the password: whoever sees
//! a hash sees its salt, and could then try passwords on the salt, by one round of SHA-256 each, instead of on the slow hash.
//! What is lost is that a password which comes back gives the hash that it had before.

use minijinja::Value;
use sha2::{Digest, Sha256};

use super::{given, number};
use crate::{
    Secret,
    template::external::{Fault, limits, run::Run, value::Content},
};

type Made = Result<Value, Fault>;

/// The hash alone.
pub(super) fn bcrypt(run: &Run, arguments: &[Value]) -> Made {
    let password = run.read(&arguments[0])?;
    let hash = hashed(run, None, &password, &arguments[1])?;
    run.made(Secret::new(hash.format_for_version(bcrypt::Version::TwoB).into_bytes()))
}

/// A line of a file that web servers read.
pub(super) fn htpasswd(run: &Run, arguments: &[Value]) -> Made {
    let (user, password) = (run.read(&arguments[0])?, run.read(&arguments[1])?);
    let user = user.as_str()?;
    if user.is_empty() || user.contains(':') || user.contains(char::is_control) {
        return Err(Fault::Unhashable);
    }
    let hash = hashed(run, Some(user), &password, &arguments[2])?;
    // The name by which web servers have known this version for longest.
    run.made(Secret::new(format!("{user}:{}", hash.format_for_version(bcrypt::Version::TwoY)).into_bytes()))
}

fn hashed(
    run: &Run,
    user: Option<&str>,
    password: &Content,
    cost: &Value,
) -> Result<bcrypt::HashParts, Fault> {
    let cost = given(cost).map_or(Ok(COST), |cost| number(cost, *limits::BCRYPT_COSTS.end()))?;
    if !limits::BCRYPT_COSTS.contains(&cost) {
        return Err(Fault::BadCall);
    }
    let password = password.as_str()?;
    // Bcrypt stops at a zero byte, and after 72 bytes.
    if password.is_empty() || password.contains('\0') || password.len() >= 72 {
        return Err(Fault::Unhashable);
    }
    run.hash(1 << cost)?;
    let mut salt = Sha256::new_with_prefix("waxwing.dev/bcrypt/v1");
    for part in run.own_of_hash(user) {
        salt.update((part.len() as u64).to_be_bytes());
        salt.update(part);
    }
    salt.update([cost as u8]);
    let salt = salt.finalize();
    let salt: [u8; 16] = std::array::from_fn(|at| salt[at]);
    bcrypt::non_truncating_hash_with_salt(password, cost as u32, salt).map_err(|_| Fault::Unhashable)
}

/// Takes about a twentieth of a second.
const COST: usize = 10;
