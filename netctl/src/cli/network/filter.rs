//! `--filter WHAT=VALUE`: which networks are meant.

use std::str::FromStr;

use crate::model::Network;

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Filter {
    /// The name has this in it.
    Name(String),
    /// The identifier begins with this.
    Id(String),
    /// This is the driver.
    Driver(String),
    /// There is such a label, of this value where one is given.
    Label(String, Option<String>),
    /// It is internal, or not.
    Internal(bool),
}

impl FromStr for Filter {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (what, value) = text.split_once('=').ok_or("expected WHAT=VALUE")?;
        if value.is_empty() {
            return Err("it has no value");
        }
        let owned = value.to_owned();
        match what {
            "name" => Ok(Self::Name(owned)),
            "id" => Ok(Self::Id(owned)),
            "driver" => Ok(Self::Driver(owned)),
            "label" => Ok(match value.split_once('=') {
                Some((key, value)) => Self::Label(key.to_owned(), Some(value.to_owned())),
                None => Self::Label(owned, None),
            }),
            "internal" => match value {
                "yes" | "true" => Ok(Self::Internal(true)),
                "no" | "false" => Ok(Self::Internal(false)),
                _ => Err("internal is yes or no"),
            },
            _ => Err("it filters by name, id, driver, label or internal"),
        }
    }
}

impl Filter {
    /// Whether it is true of a network.
    pub(in crate::cli) fn takes(&self, network: &Network) -> bool {
        match self {
            Self::Name(part) => network.name.as_str().contains(part.as_str()),
            Self::Id(beginning) => network.id.as_str().starts_with(beginning.as_str()),
            Self::Driver(driver) => network.driver.as_str() == driver,
            Self::Label(key, value) => network
                .labels
                .get(key)
                .is_some_and(|has| value.as_ref().is_none_or(|wanted| wanted == has)),
            Self::Internal(internal) => network.internal == *internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> Network {
        serde_json::from_value(serde_json::json!({
            "schema": 1, "id": "0a".repeat(32), "name": "dev-east", "driver": "overlay", "subnets": [],
            "vni": null, "gateway_mac": null, "internal": false, "options": {},
            "labels": {"team": "blue", "empty": ""}, "created": 0,
        }))
        .expect("a network")
    }

    #[test]
    fn each_filter_takes_what_it_says() {
        for (text, takes) in [
            ("name=east", true),
            ("name=west", false),
            ("id=0a0a", true),
            ("id=a0", false),
            ("driver=overlay", true),
            ("driver=over", false),
            ("label=team", true),
            ("label=team=blue", true),
            ("label=team=red", false),
            ("label=empty=", true),
            ("label=other", false),
            ("internal=no", true),
            ("internal=yes", false),
        ] {
            let filter: Filter = text.parse().expect(text);
            assert_eq!(filter.takes(&network()), takes, "{text}");
        }
    }

    #[test]
    fn what_is_no_filter_is_said() {
        for (text, why) in [
            ("dev", "expected WHAT=VALUE"),
            ("name=", "it has no value"),
            ("colour=blue", "it filters by name, id, driver, label or internal"),
            ("internal=maybe", "internal is yes or no"),
        ] {
            assert_eq!(text.parse::<Filter>(), Err(why), "{text}");
        }
    }
}
