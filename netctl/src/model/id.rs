//! Identifiers: 256 random bits in hexadecimal, as Docker's are.

use std::{cmp::Ordering, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// How many digits an identifier is cut to for people.
const SHORT: usize = 12;
/// How many digits an identifier has.
const DIGITS: usize = 64;

/// A text that is not an identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an identifier of {DIGITS} hexadecimal digits")]
pub struct IdError {
    text: String,
}

// The text is in place: every pass of the reconcile loop looks up and copies some for each endpoint.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; DIGITS]);

        impl $name {
            /// Makes a new one from the kernel's random numbers.
            ///
            /// # Panics
            ///
            /// Where the kernel gives no random numbers, which Linux does not let happen after boot.
            pub fn random() -> Self {
                let mut bytes = [0; DIGITS / 2];
                getrandom::fill(&mut bytes).expect("the kernel gives random numbers");
                Self::from_bytes(bytes)
            }

            /// The identifier that these bytes spell.
            pub fn from_bytes(bytes: [u8; DIGITS / 2]) -> Self {
                let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' + value - 10 };
                let mut digits = [0; DIGITS];
                for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
                    pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]);
                }
                Self(digits)
            }

            /// The bytes that its digits spell.
            pub fn to_bytes(&self) -> [u8; DIGITS / 2] {
                let value = |digit: u8| if digit <= b'9' { digit - b'0' } else { digit - b'a' + 10 };
                let mut bytes = [0; DIGITS / 2];
                for (byte, digits) in bytes.iter_mut().zip(self.0.chunks_exact(2)) {
                    *byte = digits.iter().fold(0, |byte, &digit| byte << 4 | value(digit));
                }
                bytes
            }

            /// All digits.
            ///
            /// # Panics
            ///
            /// Never: they were checked when it was made.
            pub fn as_str(&self) -> &str {
                str::from_utf8(&self.0).expect("digits are text")
            }

            /// The first twelve digits, for people and for names of links.
            pub fn short(&self) -> &str {
                &self.as_str()[..SHORT]
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                compare(&self.0, &other.0)
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let digits = <[u8; DIGITS]>::try_from(text.as_bytes()).ok();
                let fits = |digits: &[u8; DIGITS]| digits.iter().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
                digits.filter(fits).map(Self).ok_or_else(|| IdError { text: text.to_owned() })
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.as_str().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.short())
            }
        }
    };
}

/// The order of two texts. Of random ones the first digits decide, so that the rest is hardly ever looked at: a pass looks
/// up thousands.
#[inline]
fn compare(one: &[u8; DIGITS], other: &[u8; DIGITS]) -> Ordering {
    let (one, other) = (one.as_chunks::<8>().0, other.as_chunks::<8>().0);
    let differing = one.iter().zip(other).find(|(one, other)| one != other);
    differing.map_or(Ordering::Equal, |(one, other)| {
        u64::from_be_bytes(*one).cmp(&u64::from_be_bytes(*other))
    })
}

id! {
    /// A host: one machine with one daemon's state, whatever it is called.
    HostId
}
id! {
    /// A network, in the whole cluster.
    NetworkId
}
id! {
    /// An endpoint, in the whole cluster.
    EndpointId
}
id! {
    /// A sandbox, on one host.
    SandboxId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_ids_are_ids_and_differ() {
        let (a, b) = (NetworkId::random(), NetworkId::random());
        assert_ne!(a, b);
        assert_eq!(a.as_str().parse(), Ok(a.clone()));
        assert_eq!(a.short().len(), 12);
    }

    #[test]
    fn ids_survive_as_bytes() {
        let id = EndpointId::random();
        assert_eq!(EndpointId::from_bytes(id.to_bytes()), id);
        assert_eq!(EndpointId::from_bytes([0xa9; 32]).short(), "a9a9a9a9a9a9");
    }

    #[test]
    fn ids_are_in_the_order_of_their_digits() {
        let ids = ["0", "1", "9", "a", "f"].map(|digit| digit.repeat(63));
        let all = ids.iter().flat_map(|rest| {
            ["0", "8", "f"].map(|digit| [format!("{digit}{rest}"), format!("{rest}{digit}")])
        });
        let all: Vec<String> = all.flatten().collect();
        for one in &all {
            for other in &all {
                let id = |text: &str| text.parse::<NetworkId>().expect("an identifier");
                assert_eq!(id(one).cmp(&id(other)), one.cmp(other), "{one} {other}");
                assert_eq!(id(one) == id(other), one == other, "{one} {other}");
            }
        }
    }

    #[test]
    fn what_is_not_an_id_is_refused() {
        for text in ["", "abc", &"g".repeat(64), &"A".repeat(64), &"0".repeat(63), &"é".repeat(32)]
        {
            assert!(text.parse::<NetworkId>().is_err(), "{text:?}");
        }
    }
}
