//! Profiles of the user's own.

use std::borrow::Cow;
use std::fmt;

use toml::{Table, Value};

use super::Profile;

impl Profile {
    /// A profile from TOML. `base` names the built-in profile that it changes, `generic` when it is left out; tables
    /// are merged, lists are replaced. A key that is not known is an error: a slip of the pen must not leave a rule
    /// out.
    ///
    /// ```
    /// use icap_verdict::Profile;
    ///
    /// let own = Profile::from_toml(r#"
    ///     base = "reqmod"
    ///     name = "our-dlp"
    ///     [ask]
    ///     paths = ["/dlp"]
    ///     [[read.fields]]
    ///     field = "verdict"
    ///     means = "block"
    ///     values = ["blocked"]
    /// "#)?;
    /// assert_eq!(own.ask.paths[0], "/dlp");
    /// # Ok::<(), icap_verdict::ProfileError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What is wrong with the text, and a base that does not exist.
    pub fn from_toml(text: &str) -> Result<Self, ProfileError> {
        let mut own: Table = text.parse()?;
        let base = match own.remove("base") {
            None => "generic".to_owned(),
            Some(Value::String(name)) => name,
            Some(_) => return Err(ProfileError(Wrong::Base("not a string".to_owned()))),
        };
        let base = Self::named(&base).ok_or(ProfileError(Wrong::Base(base)))?;
        // The names and marks are those of the base alone.
        let base = Self { aliases: Cow::Borrowed(&[]), marks: Cow::Borrowed(&[]), ..base.clone() };
        let mut whole =
            Table::try_from(base).map_err(|error| ProfileError(Wrong::Written(error)))?;
        merge(&mut whole, own);
        Ok(whole.try_into()?)
    }
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(into)), Value::Table(from)) => merge(into, from),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// A profile that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileError(Wrong);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Wrong {
    Base(String),
    Read(toml::de::Error),
    Written(toml::ser::Error),
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Wrong::Base(name) => write!(f, "no built-in profile to start from: {name}"),
            Wrong::Read(error) => write!(f, "{error}"),
            Wrong::Written(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for ProfileError {}

impl From<toml::de::Error> for ProfileError {
    fn from(error: toml::de::Error) -> Self {
        Self(Wrong::Read(error))
    }
}
