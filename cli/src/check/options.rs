//! What a check is told.

use std::{fmt, str::FromStr};

use waxwing_core::{
    alertmanager::{Version, capability::OperatorVersion},
    config::Glob,
};

use crate::error::{Failure, Result};

/// What a check is told.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    /// Check for these versions, whatever the resources say
    #[arg(long, value_name = "NAME=VERSION", value_delimiter = ',')]
    target: Vec<Target>,
    /// Namespace of objects that don't say theirs
    #[arg(long, short, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// What somebody else makes: Secrets, ConfigMaps and stores of this name are taken for present. * and ? are wildcards
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = glob)]
    elsewhere: Vec<Glob>,
}

/// A version of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Alertmanager(Version),
    Operator(OperatorVersion),
}

/// The versions that count instead of those that the resources say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Targets {
    /// That of Alertmanager.
    pub(crate) alertmanager: Option<Version>,
    /// That of prometheus-operator.
    pub(crate) operator: Option<OperatorVersion>,
}

impl Options {
    /// The namespace of objects that don't say theirs.
    pub(crate) fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// What somebody else makes.
    pub(crate) fn elsewhere(&self) -> Vec<Glob> {
        self.elsewhere.clone()
    }

    /// The versions that were given; the last of each name counts.
    pub(crate) fn targets(&self) -> Targets {
        let mut targets = Targets::default();
        for target in &self.target {
            match target {
                Target::Alertmanager(version) => targets.alertmanager = Some(*version),
                Target::Operator(version) => targets.operator = Some(*version),
            }
        }
        targets
    }

    /// Fails where one server is given two versions.
    pub(crate) fn check(&self) -> Result<()> {
        let of = |is: fn(&Target) -> bool| self.target.iter().filter(|target| is(target)).count() > 1;
        if of(|target| matches!(target, Target::Alertmanager(_)))
            || of(|target| matches!(target, Target::Operator(_)))
        {
            return Err(Failure::usage("--target names the same server twice")
                .hint("run the command once for each version"));
        }
        Ok(())
    }
}

impl Targets {
    /// What to say about versions that are newer than what is known, with the field of a target that says them.
    pub(crate) fn newer(self) -> Vec<(&'static str, String)> {
        let alertmanager = self.alertmanager.filter(|version| !version.is_known());
        let operator = self.operator.filter(|version| *version > OperatorVersion::NEWEST);
        let as_newest = |name: &str, newest: &dyn fmt::Display| {
            format!("{name} is newer than what is known, and is checked as {newest}")
        };
        let alertmanager = alertmanager.map(|_| ("version", as_newest("Alertmanager", &Version::NEWEST)));
        let operator =
            operator.map(|_| ("operatorVersion", as_newest("prometheus-operator", &OperatorVersion::NEWEST)));
        alertmanager.into_iter().chain(operator).collect()
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text.split_once('=') {
            Some(("alertmanager", version)) => {
                version.parse().map(Self::Alertmanager).map_err(|error| error.to_string())
            }
            Some(("prometheus-operator", version)) => {
                version.parse().map(Self::Operator).map_err(|error| error.to_string())
            }
            _ => Err("not alertmanager=VERSION or prometheus-operator=VERSION".to_owned()),
        }
    }
}

fn glob(text: &str) -> std::result::Result<Glob, String> {
    Glob::new(text).ok_or_else(|| "not NAMESPACE/NAME; only * and ? are wildcards".to_owned())
}
