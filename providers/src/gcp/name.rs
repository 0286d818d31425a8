//! The names of Secret Manager, and what a resource may say for them.
//!
//! Every part is checked before it goes into a URL or a filter, so nothing that stands in a resource can mean more there
//! than a name.

use std::fmt;

use waxwing_core::store::{Failure, Find, Kind, endpoint::is_label};

/// Where a store's secrets lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parent {
    project: String,
    /// Of regional secrets.
    location: Option<String>,
}

impl Parent {
    /// # Errors
    /// `BadStore` when one of them cannot be the name of what it should name.
    pub(super) fn new(project: &str, location: Option<&str>) -> Result<Self, Failure> {
        if !is_project(project) {
            return Err(Failure::new(Kind::BadStore, "it is not the id of a project").at("projectID"));
        }
        match location {
            Some(location) if !is_label(location) => {
                Err(Failure::new(Kind::BadStore, "it is not the name of a location").at("location"))
            }
            _ => Ok(Self { project: project.to_owned(), location: location.map(str::to_owned) }),
        }
    }

    /// Where Google has the service for these secrets.
    pub(super) fn host(&self) -> String {
        match &self.location {
            Some(location) => format!("https://secretmanager.{location}.rep.googleapis.com"),
            None => "https://secretmanager.googleapis.com".to_owned(),
        }
    }

    /// Whether the secrets are regional.
    pub(super) fn is_regional(&self) -> bool {
        self.location.is_some()
    }

    /// The full name of the secret that a key means: its id, or its full name if that lies here.
    ///
    /// # Errors
    /// `Rejected` when the key cannot be a name, or is one of another project or location: what the store's account may
    /// read elsewhere is not this store's.
    pub(super) fn secret(&self, key: &str) -> Result<String, Failure> {
        let rejected = |what| Err(Failure::new(Kind::Rejected, what).at(key));
        let id = match key.rsplit_once("/secrets/") {
            Some((parent, id)) if parent == self.to_string() => id,
            Some(_) => return rejected("it lies in another project or location than the store names"),
            None => key,
        };
        if !is_id(id) {
            return rejected("the id of a secret is 1 to 255 letters, digits, `-` and `_`");
        }
        Ok(format!("{self}/secrets/{id}"))
    }

    /// The full name of a version of it: a number, an alias, or the newest.
    ///
    /// # Errors
    /// `Rejected` as above.
    pub(super) fn version(&self, key: &str, version: Option<&str>) -> Result<String, Failure> {
        let secret = self.secret(key)?;
        let version = version.unwrap_or(NEWEST);
        if !is_id(version) {
            return Err(Failure::new(Kind::Rejected, "a version is a number, an alias or `latest`").at(key));
        }
        Ok(format!("{secret}/versions/{version}"))
    }
}

impl fmt::Display for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "projects/{}", self.project)?;
        match &self.location {
            Some(location) => write!(f, "/locations/{location}"),
            None => Ok(()),
        }
    }
}

/// What follows the last slash of a name that the service gave. It gives the project's number where we say its id.
pub(super) fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or_default()
}

/// What the service can look for itself. All that is found is looked at again here, so this only saves pages.
pub(super) fn filter(find: &Find) -> String {
    let path = find.path.iter().filter(|path| is_id(path)).map(|path| format!("name:{path}"));
    let is_plain =
        |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b));
    let tags = find.tags.iter().filter(|(key, value)| !value.is_empty() && is_plain(key) && is_plain(value));
    let tags = tags.map(|(key, value)| format!("labels.{key}={value}"));
    path.chain(tags).collect::<Vec<_>>().join(" AND ")
}

/// `my-project`, `example.com:my-project` or a number.
pub(super) fn is_project(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:".contains(&b);
    (1..=100).contains(&text.len())
        && text.bytes().all(inner)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
}

fn is_id(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    (1..=255).contains(&text.len()) && text.bytes().all(inner)
}

/// What stands for the newest version.
pub(super) const NEWEST: &str = "latest";

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn parent() -> Parent {
        Parent::new("shop-prod", None).unwrap()
    }

    #[test]
    fn a_key_is_an_id_or_a_full_name_of_the_same_project() {
        let regional = Parent::new("shop-prod", Some("europe-west3")).unwrap();
        let full = "projects/shop-prod/secrets/db";
        let regional_full = "projects/shop-prod/locations/europe-west3/secrets/db";
        assert_eq!(parent().secret("db").as_deref(), Ok(full));
        assert_eq!(parent().secret(full).as_deref(), Ok(full));
        assert_eq!(regional.secret("db").as_deref(), Ok(regional_full));
        assert_eq!(regional.secret(regional_full).as_deref(), Ok(regional_full));
        assert!(regional.secret(full).is_err());
        assert!(parent().secret(regional_full).is_err());
    }

    /// K05. A store reaches its own project only, whatever its account may read.
    /// Guard: the comparison with the parent in `Parent::secret`, and `is_id`.
    #[test]
    fn a_key_cannot_leave_the_project() {
        let keys = [
            "projects/other/secrets/db",
            "projects/shop-prod/secrets/db/versions/1",
            "projects/shop-prod/../other/secrets/db",
            "x/../../other/secrets/db",
            "../db",
            "db/versions/1:access",
            "db?x=y",
            "db#x",
            "db%2Fx",
            "db:destroy",
            "",
            ".",
            "..",
            "dä",
        ];
        for key in keys {
            assert_eq!(parent().secret(key).map_err(|failure| failure.kind), Err(Kind::Rejected), "{key}");
        }
    }

    #[test]
    fn a_version_is_a_number_an_alias_or_the_newest() {
        let version = |version| parent().version("db", version);
        assert_eq!(version(None).as_deref(), Ok("projects/shop-prod/secrets/db/versions/latest"));
        assert_eq!(version(Some("7")).as_deref(), Ok("projects/shop-prod/secrets/db/versions/7"));
        assert_eq!(version(Some("blue")).as_deref(), Ok("projects/shop-prod/secrets/db/versions/blue"));
        for bad in ["", "1:access", "../1", "1/x"] {
            assert_eq!(version(Some(bad)).map_err(|failure| failure.kind), Err(Kind::Rejected), "{bad}");
        }
    }

    /// K16. A location becomes a part of the host.
    /// Guard: `is_label` in `Parent::new`.
    #[test]
    fn a_location_is_one_label_of_a_host() {
        for bad in ["", "evil.example.com/", "a.b", "x@y", "x:1", "x/y", "x#"] {
            let failure = Parent::new("shop-prod", Some(bad)).unwrap_err();
            assert_eq!((failure.kind, failure.place.as_deref()), (Kind::BadStore, Some("location")), "{bad}");
        }
        let regional = Parent::new("shop-prod", Some("europe-west3")).unwrap();
        assert_eq!(regional.host(), "https://secretmanager.europe-west3.rep.googleapis.com");
        for bad in ["", "a/b", "A", "a?b", "-a", "a.", "a b"] {
            let failure = Parent::new(bad, None).unwrap_err();
            assert_eq!(
                (failure.kind, failure.place.as_deref()),
                (Kind::BadStore, Some("projectID")),
                "{bad}"
            );
        }
        for good in ["shop-prod", "example.com:shop-prod", "415104041262"] {
            assert!(Parent::new(good, None).is_ok(), "{good}");
        }
    }

    fn check_filter(path: Option<&str>, tags: &[(&str, &str)], expected: &str) {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let tags: BTreeMap<_, _> = tags.iter().map(owned).collect();
        let find = Find { path: path.map(str::to_owned), name: None, tags };
        assert_eq!(filter(&find), expected);
    }

    /// Guard: `is_id` and `is_plain` in `filter`.
    #[test]
    fn only_what_is_a_plain_word_goes_into_a_filter() {
        check_filter(None, &[], "");
        check_filter(
            Some("shop-"),
            &[("env", "prod"), ("team", "db")],
            "name:shop- AND labels.env=prod AND labels.team=db",
        );
        check_filter(Some("x OR name:y"), &[("env", "a OR b"), ("a.b", "c"), ("team", "")], "");
    }
}
