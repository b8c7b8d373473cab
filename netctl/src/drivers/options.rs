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

impl Switch {
    pub(super) fn is_on(self) -> bool {
        self == Self::On
    }
}

/// Docker's options have what Go's `strconv.ParseBool` takes.
impl FromStr for Switch {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "on" | "true" | "t" | "1" => Ok(Self::On),
            "off" | "false" | "f" | "0" => Ok(Self::Off),
            _ => Err("it is on or off, or true or false"),
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

    /// Takes the option `names[0]`, which may also be written in the other ways, but in one of them alone.
    pub(super) fn take<T: FromStr<Err: Display>>(
        &mut self,
        names: &[&'static str],
    ) -> Result<Option<T>, Error> {
        self.known.extend(names.first());
        let mut given = names.iter().filter_map(|&name| Some((name, self.left.remove(name)?)));
        let Some((option, value)) = given.next() else { return Ok(None) };
        if let Some((other, _)) = given.next() {
            return Err(Error::Twice { one: option.to_owned(), other: other.to_owned() });
        }
        value.parse().map(Some).map_err(|reason: T::Err| Error::Value {
            option: option.to_owned(),
            value: value.to_owned(),
            reason: reason.to_string(),
        })
    }

    /// Takes the same, for what is on or off.
    pub(super) fn switch(&mut self, names: &[&'static str], default: bool) -> Result<bool, Error> {
        Ok(self.take(names)?.map_or(default, Switch::is_on))
    }

    /// Refuses an option that others have, and that means something which this driver does not do.
    pub(super) fn refuse(&self, option: &str, reason: &str) -> Result<(), Error> {
        self.left.get(option).map_or(Ok(()), |&value| {
            Err(Error::Value {
                option: option.to_owned(),
                value: value.to_owned(),
                reason: reason.to_owned(),
            })
        })
    }

    /// Fails where an option is left that nobody took.
    pub(super) fn finish(self) -> Result<(), Error> {
        let Some(option) = self.left.keys().next() else { return Ok(()) };
        let known = if self.known.is_empty() { "none".to_owned() } else { self.known.join(", ") };
        Err(Error::Option { driver: self.driver.to_owned(), option: (*option).to_owned(), known })
    }
}
