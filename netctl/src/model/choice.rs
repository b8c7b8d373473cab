//! Settings that can be left to netctl.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Whether something is to be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// Where it is known to pay.
    #[default]
    Auto,
    /// Wherever it can be had.
    On,
    /// Nowhere.
    Off,
}

/// A word that is none of those of [`Choice`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is none of auto, on and off")]
pub struct ChoiceError;

impl FromStr for Choice {
    type Err = ChoiceError;

    fn from_str(word: &str) -> Result<Self, ChoiceError> {
        match word {
            "auto" => Ok(Self::Auto),
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            _ => Err(ChoiceError),
        }
    }
}

/// What became of a [`Choice`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// Whether it is used.
    pub on: bool,
    /// Why, or how far, in a few words.
    pub why: String,
}

impl Chosen {
    /// It is used.
    pub fn on(why: impl Into<String>) -> Self {
        Self { on: true, why: why.into() }
    }

    /// It is not used.
    pub fn off(why: impl Into<String>) -> Self {
        Self { on: false, why: why.into() }
    }
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", if self.on { "on" } else { "off" }, self.why)
    }
}
