//! Reading the options that a network was given with `-o`.

use std::{collections::BTreeMap, fmt::Display, str::FromStr};

use super::Error;
use crate::model::NetworkSpec;

/// What can be on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Switch {
    On,
    Off,
}

impl FromStr for Switch {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            _ => Err("it is on or off"),
        }
    }
}

/// The options of one network; each that the driver knows is taken out, and none may be left.
#[derive(Debug)]
pub(super) struct Options<'a> {
    driver: &'a str,
    left: BTreeMap<&'a str, &'a str>,
    known: Vec<&'static str>,
}

impl<'a> Options<'a> {
    pub(super) fn of(driver: &'a str, spec: &'a NetworkSpec) -> Self {
        let left = spec.options.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        Self { driver, left, known: Vec::new() }
    }

    /// Takes the option `names[0]`, which may also be written in the other ways.
    pub(super) fn take<T: FromStr<Err: Display>>(
        &mut self,
        names: &[&'static str],
    ) -> Result<Option<T>, Error> {
        self.known.extend(names.first());
        for &name in names {
            if let Some(value) = self.left.remove(name) {
                return value.parse().map(Some).map_err(|reason: T::Err| Error::Value {
                    option: name.to_owned(),
                    value: value.to_owned(),
                    reason: reason.to_string(),
                });
            }
        }
        Ok(None)
    }

    /// Fails where an option is left that nobody took.
    pub(super) fn finish(self) -> Result<(), Error> {
        let Some(option) = self.left.keys().next() else { return Ok(()) };
        let known = if self.known.is_empty() { "none".to_owned() } else { self.known.join(", ") };
        Err(Error::Option { driver: self.driver.to_owned(), option: (*option).to_owned(), known })
    }
}
