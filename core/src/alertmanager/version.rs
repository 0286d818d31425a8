//! Which Alertmanager a configuration is for.

use std::{fmt, str::FromStr};

/// A minor release of Alertmanager that Waxwing knows: 0.25 to 0.34. Patch releases are not told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The schema that applies.
    minor: u8,
    /// Whether that is the schema of this very version, not of an older one.
    known: bool,
}

/// Why a text is no version that Waxwing can check for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// Not a version at all.
    #[error("not a version of Alertmanager, such as 0.34")]
    Malformed,
    /// Before the first that is known.
    #[error("Alertmanager before 0.{OLDEST} is not supported")]
    TooOld,
}

const OLDEST: u8 = 25;
const NEWEST: u8 = 34;

impl Version {
    /// The newest that is known.
    pub const NEWEST: Self = Self { minor: NEWEST, known: true };
    /// The oldest that is known.
    pub const OLDEST: Self = Self { minor: OLDEST, known: true };

    /// All that are known, oldest first.
    pub fn all() -> impl Iterator<Item = Self> {
        (OLDEST..=NEWEST).map(|minor| Self { minor, known: true })
    }

    /// Whether this is a release that Waxwing knows. A newer one is checked as if it were [`Self::NEWEST`].
    #[must_use]
    pub const fn is_known(self) -> bool {
        self.known
    }

    /// The minor version whose rules apply: 34 for 0.34, and for what comes after it.
    #[must_use]
    pub const fn minor(self) -> u8 {
        self.minor
    }
}

impl FromStr for Version {
    type Err = VersionError;

    /// Reads `0.34`, `v0.34.2`, `0.34.0-rc.1`.
    fn from_str(text: &str) -> Result<Self, VersionError> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let end = text.find(['-', '+']).unwrap_or(text.len());
        let mut numbers = text[..end].split('.');
        let mut number = || {
            let digits = numbers.next().ok_or(VersionError::Malformed)?;
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            if is_number {
                digits.parse::<u32>().map_err(|_| VersionError::Malformed)
            } else {
                Err(VersionError::Malformed)
            }
        };
        let (major, minor) = (number()?, number()?);
        let rest: Vec<&str> = numbers.collect();
        let is_patch = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if rest.len() > 1 || !rest.iter().all(is_patch) {
            return Err(VersionError::Malformed);
        }
        match (major, u8::try_from(minor)) {
            (0, Ok(minor)) if minor < OLDEST => Err(VersionError::TooOld),
            (0, Ok(minor)) if minor <= NEWEST => Ok(Self { minor, known: true }),
            _ => Ok(Self { minor: NEWEST, known: false }),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0.{}", self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_in_every_usual_spelling() {
        for text in ["0.31", "v0.31", "0.31.2", "v0.31.0-rc.1", "0.31.0+build"] {
            assert_eq!(text.parse::<Version>().map(|version| version.to_string()), Ok("0.31".to_owned()));
        }
        assert_eq!("0.24.0".parse::<Version>(), Err(VersionError::TooOld));
        for text in ["", "v", "0", "0.x", "latest", "0.31.2.1", "0.31.", "0. 31", "-1.2"] {
            assert_eq!(text.parse::<Version>(), Err(VersionError::Malformed), "{text}");
        }
    }

    #[test]
    fn a_newer_version_is_checked_as_the_newest_and_says_so() {
        let newer: Version = "0.35.1".parse().unwrap();
        assert_eq!((newer.minor(), newer.is_known()), (34, false));
        assert!(!"1.0.0".parse::<Version>().unwrap().is_known());
        assert!("0.34.2".parse::<Version>().unwrap().is_known());
        assert_eq!(Version::all().count(), 10);
    }
}
