//! What is shown to a Git server, and how it is known: a folder, as a Secret is mounted, with the keys that Flux has for it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::place::Place;
use crate::{
    error::{Explain, Failure, Result},
    input,
};

/// The files of the folder; each may be missing.
#[derive(Default)]
pub(crate) struct Credentials {
    /// `username`.
    pub(super) username: Option<String>,
    /// `password`: for a web server a password or token, for ssh what the identity is locked with.
    pub(super) password: Option<Zeroizing<String>>,
    /// `bearerToken`.
    pub(super) bearer: Option<Zeroizing<String>>,
    /// `identity`: the private key for ssh.
    pub(super) identity: Option<PathBuf>,
    /// `known_hosts`: the keys of ssh servers.
    pub(super) known_hosts: Option<PathBuf>,
    /// `ca.crt`: who is trusted to name web servers, the forge too, instead of those that the system trusts.
    pub(crate) authority: Option<PathBuf>,
}

impl Credentials {
    /// Reads the folder. Without one there are none.
    pub(crate) fn read(folder: Option<&Path>) -> Result<Self> {
        let Some(folder) = folder else { return Ok(Self::default()) };
        let folder = folder.canonicalize().at(folder.display())?;
        let file = |name: &str| Some(folder.join(name)).filter(|path| path.is_file());
        let text = |name: &str| file(name).map(|path| line(&path)).transpose();
        Ok(Self {
            username: text("username")?.map(|name| name.to_string()),
            password: text("password")?,
            bearer: text("bearerToken")?,
            identity: file("identity"),
            known_hosts: file("known_hosts"),
            authority: file("ca.crt"),
        })
    }

    /// Whether they are what this place takes.
    pub(super) fn check(&self, place: &Place) -> Result<()> {
        match place {
            Place::Folder(_) => Ok(()),
            Place::Web { tls: false, .. } if self.password.is_some() || self.bearer.is_some() => {
                Err(Failure::usage("http:// would show the credentials to everybody on the way")
                    .hint("use https://; a CA of your own goes into the file ca.crt of --git-credentials"))
            }
            Place::Web { .. } if self.password.is_some() && self.bearer.is_some() => {
                Err(Failure::usage("--git-credentials has both a password and a bearerToken").hint("leave one of them out"))
            }
            Place::Web { .. } if self.username.is_some() != self.password.is_some() => {
                Err(Failure::usage("--git-credentials has only one of username and password").hint(KEYS))
            }
            Place::Web { .. } => Ok(()),
            Place::Ssh { .. } if self.identity.is_none() => {
                Err(Failure::usage("there is no private key for ssh").hint(KEYS))
            }
            Place::Ssh { shown, .. } if self.known_hosts.is_none() => {
                Err(Failure::usage(format!("there is no known_hosts: nothing says which key {shown} has"))
                    .hint("ssh-keyscan HOST prints it; compare it with what the server's administrator published, and put it into the file known_hosts of --git-credentials"))
            }
            Place::Ssh { .. } => Ok(()),
        }
    }

    /// A text without them. Servers and libraries repeat what they were sent.
    pub(super) fn mask(&self, text: &str) -> String {
        let mut text = text.to_owned();
        let secrets = [&self.password, &self.bearer].into_iter().flatten();
        for secret in secrets.filter(|secret| !secret.is_empty()) {
            let basic =
                self.username.as_ref().map(|name| STANDARD.encode(format!("{name}:{}", secret.as_str())));
            for form in basic.iter().map(String::as_str).chain([secret.as_str()]) {
                text = text.replace(form, "***");
            }
        }
        text
    }
}

/// The only line of a file.
fn line(path: &Path) -> Result<Zeroizing<String>> {
    let text = input::read(path)?;
    // Why exposed: it is sent to the server.
    let text =
        std::str::from_utf8(text.expose()).map_err(|_| Failure::new("not UTF-8 text")).at(path.display())?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() || text.contains(|letter: char| letter.is_control()) {
        return Err(Failure::new("not one line of text").at(path.display()));
    }
    Ok(Zeroizing::new(text.to_owned()))
}

/// A copy of known_hosts as the ssh library looks for it: below a home folder.
pub(super) fn place_known_hosts(credentials: &Credentials, home: &Path) -> Result<()> {
    if let Some(known_hosts) = &credentials.known_hosts {
        let folder = home.join(".ssh");
        fs::create_dir_all(&folder).at(folder.display())?;
        fs::copy(known_hosts, folder.join("known_hosts")).at(known_hosts.display())?;
    }
    Ok(())
}

const KEYS: &str = "--git-credentials DIR names a folder with the files username and password, or bearerToken, and ca.crt \
                    for https; identity and known_hosts for ssh";

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[(&str, &str)]) -> Credentials {
        let home = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(home.path().join(name), text).unwrap();
        }
        Credentials::read(Some(home.path())).unwrap()
    }

    /// K24. Guard: `Credentials::check` wants known_hosts, and gives nothing to http.
    #[test]
    fn no_server_is_trusted_unseen() {
        let ssh = Place::parse("git@git.example:a.git").unwrap();
        assert!(of(&[("identity", "x"), ("known_hosts", "y")]).check(&ssh).is_ok());
        assert!(of(&[("identity", "x")]).check(&ssh).is_err());
        let http = Place::parse("http://127.0.0.1/a.git").unwrap();
        assert!(of(&[]).check(&http).is_ok());
        assert!(of(&[("username", "u"), ("password", "p")]).check(&http).is_err());
        assert!(of(&[("bearerToken", "p")]).check(&http).is_err());
        let https = Place::parse("https://git.example/a.git").unwrap();
        assert!(of(&[("username", "u"), ("password", "p\n")]).check(&https).is_ok());
        assert!(of(&[("username", "u")]).check(&https).is_err());
    }

    #[test]
    fn what_is_masked_is_masked_in_both_forms() {
        let credentials = of(&[("username", "user"), ("password", "canary\n")]);
        assert_eq!(credentials.mask("no canary, no dXNlcjpjYW5hcnk= either"), "no ***, no *** either");
    }
}
