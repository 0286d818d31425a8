//! The one branch that may be pushed.

use crate::error::{Failure, Result};

/// A branch below the prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Branch {
    prefix: String,
    name: String,
}

impl Branch {
    /// `PREFIX` and `NAME`, as given on the command line.
    pub(crate) fn new(prefix: &str, name: &str) -> Result<Self> {
        if prefix.len() < 2 || !prefix.ends_with('/') {
            return Err(Failure::usage("--branch-prefix is no folder of branches")
                .hint("let it end with a slash, such as waxwing/: nothing outside of it is ever pushed"));
        }
        let branch = Self { prefix: prefix.to_owned(), name: format!("{prefix}{name}") };
        if name.is_empty() || !git2::Reference::is_valid_name(&branch.reference()) {
            return Err(Failure::usage(format!("Git takes no branch called {:?}", branch.name)));
        }
        Ok(branch)
    }

    /// Its name, with the prefix.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// `refs/heads/NAME`.
    pub(crate) fn reference(&self) -> String {
        format!("{HEADS}{}", self.name)
    }

    /// Refuses where it is the default branch, or outside of the prefix. Asked before the commit, and again for what the
    /// server says just before the push.
    pub(crate) fn guard(&self, reference: &str, default: &str) -> Result<()> {
        let name = reference.strip_prefix(HEADS).unwrap_or_default();
        if reference == default
            || name == default
            || reference != self.reference()
            || !name.starts_with(&self.prefix)
        {
            return Err(Failure::new(format!(
                "{reference} is not pushed: the branch is {}, and the default branch is {default}",
                self.name
            ))
            .hint("choose another --branch or --branch-prefix: a rewrap is proposed, never pushed to the default branch"));
        }
        Ok(())
    }
}

/// Where branches are.
pub(super) const HEADS: &str = "refs/heads/";

#[cfg(test)]
mod tests {
    use super::*;

    /// K25. Guard: `Branch::guard`.
    #[test]
    fn only_the_branch_below_the_prefix_passes() {
        let branch = Branch::new("waxwing/", "rewrap").unwrap();
        assert!(branch.guard("refs/heads/waxwing/rewrap", "refs/heads/main").is_ok());
        for (reference, default) in [
            ("refs/heads/main", "refs/heads/main"),
            ("refs/heads/waxwing/rewrap", "refs/heads/waxwing/rewrap"),
            ("refs/heads/waxwing/rewrap", "waxwing/rewrap"),
            ("refs/heads/other", "refs/heads/main"),
            ("refs/heads/waxwing/other", "refs/heads/main"),
            ("refs/tags/waxwing/rewrap", "refs/heads/main"),
        ] {
            assert!(branch.guard(reference, default).is_err(), "{reference} {default}");
        }
        for (prefix, name) in [
            ("", "main"),
            ("/", "main"),
            ("ma", "in"),
            ("waxwing/", ""),
            ("waxwing/", "a..b"),
            ("waxwing/", "a b"),
        ] {
            assert!(Branch::new(prefix, name).is_err(), "{prefix}{name}");
        }
    }
}
