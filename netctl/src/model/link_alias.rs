//! Names that one sandbox alone has for services.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{Name, NameError};

/// `NAME:ALIAS`: in one sandbox, and there in one network, ALIAS means what NAME does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LinkAlias {
    /// A service of the network or an alias in it, which need not be there yet.
    pub name: Name,
    /// What the sandbox calls it.
    pub alias: Name,
}

/// Why a text is not a [`LinkAlias`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkAliasError {
    /// It has not two parts.
    #[error("alias {text:?}: write NAME:ALIAS, the service's name and what the sandbox calls it")]
    Parts {
        /// The whole text.
        text: String,
    },
    /// A part of it is no name.
    #[error("alias {text:?}: {source}")]
    Name {
        /// The whole text.
        text: String,
        /// What is wrong with the part.
        source: NameError,
    },
}

impl FromStr for LinkAlias {
    type Err = LinkAliasError;

    fn from_str(text: &str) -> Result<Self, LinkAliasError> {
        let (name, alias) =
            text.split_once(':').ok_or_else(|| LinkAliasError::Parts { text: text.to_owned() })?;
        let part = |part: &str| {
            part.parse().map_err(|source| LinkAliasError::Name { text: text.to_owned(), source })
        };
        Ok(Self { name: part(name)?, alias: part(alias)? })
    }
}

impl TryFrom<String> for LinkAlias {
    type Error = LinkAliasError;

    fn try_from(text: String) -> Result<Self, LinkAliasError> {
        text.parse()
    }
}

impl From<LinkAlias> for String {
    fn from(alias: LinkAlias) -> Self {
        alias.to_string()
    }
}

impl fmt::Display for LinkAlias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, alias } = self;
        write!(f, "{name}:{alias}")
    }
}

/// An alias that would mean several names at once, if there is one.
pub fn ambiguous(aliases: &[LinkAlias]) -> Option<&Name> {
    let same = |a: &Name, b: &Name| a.as_str().eq_ignore_ascii_case(b.as_str());
    aliases.iter().enumerate().find_map(|(at, one)| {
        let differs =
            |other: &LinkAlias| same(&other.alias, &one.alias) && !same(&other.name, &one.name);
        aliases[..at].iter().any(differs).then_some(&one.alias)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_are_a_name_and_another() {
        let alias: LinkAlias = "db:mysql".parse().expect("an alias");
        assert_eq!((alias.name.as_str(), alias.alias.as_str()), ("db", "mysql"));
        assert_eq!(alias.to_string(), "db:mysql");
        for (text, message) in [
            ("db", "alias \"db\": write NAME:ALIAS"),
            ("db:", "alias \"db:\": a name must not be empty"),
            (":x", "alias \":x\": a name must not be empty"),
            ("a:b:c", "must consist of"),
            ("a.net:b", "must consist of"),
        ] {
            let error = text.parse::<LinkAlias>().expect_err(text).to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn an_alias_means_one_name() {
        for (texts, expected) in [
            (&["a:x", "b:y", "a:z"][..], None),
            (&["a:x", "A:X"], None),
            (&["a:x", "c:y", "b:X"], Some("X")),
        ] {
            let aliases: Vec<LinkAlias> =
                texts.iter().map(|text| text.parse().expect(text)).collect();
            assert_eq!(ambiguous(&aliases).map(Name::as_str), expected);
        }
    }
}
