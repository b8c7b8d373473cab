//! `KEY=VALUE` arguments.

use std::{collections::BTreeMap, str::FromStr};

/// One `KEY=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    key: String,
    value: String,
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                Ok(Self { key: key.to_owned(), value: value.to_owned() })
            }
            _ => Err("expected KEY=VALUE".to_owned()),
        }
    }
}

/// All pairs by key; of those with the same key the last one counts.
pub(super) fn collect(pairs: Vec<Pair>) -> BTreeMap<String, String> {
    pairs.into_iter().map(|Pair { key, value }| (key, value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_cut_at_the_first_sign() {
        let pairs = ["a=b=c", "x=", "a=last"].map(|text| text.parse().expect(text));
        let expected = [("a", "last"), ("x", "")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(collect(pairs.to_vec()), expected.into());
        for bad in ["", "a", "=b"] {
            assert_eq!(bad.parse::<Pair>(), Err("expected KEY=VALUE".to_owned()));
        }
    }
}
