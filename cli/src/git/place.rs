//! Where a repository is: by https, by ssh, or in a folder. Never shown with what stands before the `@`.

use std::{fmt, path::PathBuf};

use reqwest::Url;

use crate::error::{Failure, Result};

/// A repository's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A web server. `tls` is off for `http://`, which never gets a credential.
    Web { url: String, tls: bool },
    /// An ssh server.
    Ssh { url: String, user: String, shown: String },
}

impl Place {
    /// What was meant by `--git`. No failure repeats what was given, because a password may stand in it.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        if !text.contains("://") {
            return of_scp(text).unwrap_or_else(|| Ok(Self::Folder(PathBuf::from(text))));
        }
        let url =
            Url::parse(text).map_err(|_| Failure::usage("--git is no URL and no folder").hint(FORMS))?;
        if url.password().is_some() {
            return Err(Failure::usage("the URL of --git holds a password")
                .hint("put it into a file `password` of a folder, and name that with --git-credentials DIR")
                .hint(
                    "other processes and the shell's history can read arguments: if it is in use, replace it",
                ));
        }
        let user = url.username().to_owned();
        match url.scheme() {
            "file" => {
                let path = url.to_file_path();
                path.map(Self::Folder).map_err(|()| Failure::usage("the file URL of --git names no folder").hint(FORMS))
            }
            "http" | "https" if !user.is_empty() => Err(Failure::usage("the URL of --git holds a user name")
                .hint("a token may stand there as well: put both into files of a folder, and name that with --git-credentials DIR")),
            "http" | "https" if url.query().is_none() && url.fragment().is_none() => {
                Ok(Self::Web { url: url.to_string(), tls: url.scheme() == "https" })
            }
            "ssh" if url.host_str().is_some() => {
                let mut shown = url.clone();
                // An ssh URL can be without a user.
                let _ = shown.set_username("");
                let user = if user.is_empty() { GIT.to_owned() } else { user };
                let mut full = url;
                let _ = full.set_username(&user);
                Ok(Self::Ssh { url: full.to_string(), user, shown: shown.to_string() })
            }
            _ => Err(Failure::usage("--git is a URL that is not understood").hint(FORMS)),
        }
    }

    /// What libgit2 is given.
    pub(super) fn url(&self) -> String {
        match self {
            // As a path, because in a URL some characters mean something else.
            Self::Folder(path) => {
                std::path::absolute(path).unwrap_or_else(|_| path.clone()).to_string_lossy().into_owned()
            }
            Self::Web { url, .. } | Self::Ssh { url, .. } => url.clone(),
        }
    }

    /// The name of the server, if there is one.
    pub(crate) fn host(&self) -> Option<String> {
        match self {
            Self::Folder(_) => None,
            Self::Web { url, .. } | Self::Ssh { url, .. } => {
                Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned))
            }
        }
    }

    /// The path on the server without the ending: what forges call the project.
    pub(crate) fn project(&self) -> Option<String> {
        let url = match self {
            Self::Folder(_) => return None,
            Self::Web { url, .. } | Self::Ssh { url, .. } => Url::parse(url).ok()?,
        };
        let path = url.path().trim_matches('/');
        Some(path.strip_suffix(".git").unwrap_or(path).to_owned()).filter(|path| !path.is_empty())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Web { url, .. } => f.write_str(url),
            Self::Ssh { shown, .. } => f.write_str(shown),
        }
    }
}

/// `user@host:path`, as ssh writes it; nothing where it is a path.
fn of_scp(text: &str) -> Option<Result<Place>> {
    let (host, path) = text.split_once(':')?;
    if host.contains('/') || host.is_empty() || path.is_empty() {
        return None;
    }
    let (user, host) = host.rsplit_once('@').unwrap_or((GIT, host));
    let path = path.trim_start_matches('/');
    let url = Url::parse(&format!("ssh://{user}@{host}/{path}"));
    // `user:password@host` is taken apart at the wrong place.
    let Some(url) = url.ok().filter(|_| !path.contains('@')) else {
        return Some(Err(Failure::usage("--git is no URL and no folder").hint(FORMS)));
    };
    Some(Ok(Place::Ssh {
        url: url.to_string(),
        user: user.to_owned(),
        shown: format!("ssh://{host}/{path}"),
    }))
}

/// Who logs in where nobody is named: what forges expect.
const GIT: &str = "git";
const FORMS: &str =
    "give https://HOST/PATH, ssh://USER@HOST[:PORT]/PATH, USER@HOST:PATH, or the path of a bare repository";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_shown_without_what_stands_before_the_at() {
        let shown = |text| Place::parse(text).unwrap().to_string();
        assert_eq!(
            shown("ssh://deploy@git.example:2222/team/apps.git"),
            "ssh://git.example:2222/team/apps.git"
        );
        assert_eq!(shown("deploy@git.example:team/apps.git"), "ssh://git.example/team/apps.git");
        assert_eq!(shown("https://git.example/team/apps.git"), "https://git.example/team/apps.git");
        assert_eq!(shown("../apps.git"), "../apps.git");
        assert_eq!(Place::parse("git@git.example:a/b.git").unwrap().project().as_deref(), Some("a/b"));
        assert_eq!(
            Place::parse("https://git.example:8443/a/b/c.git/").unwrap().project().as_deref(),
            Some("a/b/c")
        );
    }

    /// K24. Guard: `Place::parse` takes no URL with a password or with a user name for the web, and repeats neither.
    #[test]
    fn a_url_with_a_credential_is_refused_and_not_repeated() {
        const CANARY: &str = "Qz7vCanaryXw93";
        let urls = [
            format!("https://{CANARY}@git.example/a.git"),
            format!("https://user:{CANARY}@git.example/a.git"),
            format!("ssh://git:{CANARY}@git.example/a.git"),
            format!("ftp://{CANARY}.example/a.git"),
            format!("https://git.example/a.git?token={CANARY}"),
            format!("https://[{CANARY}/a.git"),
            format!("git:{CANARY}@git.example:a.git"),
            format!("git:{CANARY}@git.example/a.git"),
        ];
        for url in urls {
            let failure = Place::parse(&url).err().unwrap_or_else(|| panic!("{url} is taken"));
            let said = format!("{failure} {:?}", failure.hints());
            assert!(!said.contains(CANARY), "{said}");
        }
    }
}
