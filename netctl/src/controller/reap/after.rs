//! The setting of when a host is gone for good.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// After which time a host that is missed is taken to be gone for good; never, if there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReapAfter(pub Option<Duration>);

impl Default for ReapAfter {
    fn default() -> Self {
        Self(Some(Duration::from_mins(15)))
    }
}

impl FromStr for ReapAfter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self(None));
        }
        let unit = [("s", 1), ("m", 60), ("h", 3600), ("d", 86400)];
        let seconds = unit.iter().find_map(|(unit, seconds)| {
            text.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(*seconds)
        });
        match seconds {
            // A host that is only slow, or restarted, is not gone.
            Some(0..30) => {
                Err(format!("{text} is less than a host may need to come back: from 30s on"))
            }
            Some(seconds) => Ok(Self(Some(Duration::from_secs(seconds)))),
            None => Err(format!("{text:?} is no time: write 900s, 15m, 2h, 7d, or never")),
        }
    }
}

impl fmt::Display for ReapAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.map(|after| after.as_secs()) {
            None => f.write_str("never"),
            Some(seconds) if seconds % 60 == 0 => write!(f, "{}m", seconds / 60),
            Some(seconds) => write!(f, "{seconds}s"),
        }
    }
}

impl Serialize for ReapAfter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ReapAfter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_shown() {
        let read = |text: &str| text.parse::<ReapAfter>().map(|after| after.to_string());
        for (text, shown) in
            [("900s", "15m"), ("45s", "45s"), ("2h", "120m"), ("1d", "1440m"), ("never", "never")]
        {
            assert_eq!(read(text).as_deref(), Ok(shown));
        }
        for text in ["", "m", "15", "-1s", "1w", "99999999999999999999s", "99999999999999999d"] {
            assert!(read(text).expect_err(text).contains("is no time"), "{text}");
        }
        assert!(read("29s").expect_err("short").contains("from 30s on"));
    }
}
