//! Link-layer addresses and VXLAN network identifiers.

use core::fmt;

/// An Ethernet address, in wire order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// `ff:ff:ff:ff:ff:ff`.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Makes a unicast, locally administered address (IEEE 802c) of six random bytes.
    #[inline(always)]
    pub const fn local_from(random: [u8; 6]) -> Self {
        let mut mac = random;
        mac[0] = (mac[0] & 0xfc) | 0x02;
        Self(mac)
    }

    /// Whether the group bit is set: broadcast and multicast.
    #[inline(always)]
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// Whether it is a group that no bridge forwards: `01:80:c2:00:00:00` to `0f` (IEEE 802.1Q, table 8-1).
    #[inline(always)]
    pub const fn stays_on_link(self) -> bool {
        let [head @ .., last_but_one, last] = self.0;
        u32::from_ne_bytes(head) == u32::from_ne_bytes([0x01, 0x80, 0xc2, 0])
            && last_but_one == 0
            && last & 0xf0 == 0
    }

    /// Whether both are the same station, in two comparisons; `==` would call a function in an eBPF program.
    #[inline(always)]
    pub const fn same(self, other: Self) -> bool {
        let ([head @ .., _, _], [_, _, _, _, tail @ ..]) = (self.0, self.0);
        let ([other_head @ .., _, _], [_, _, _, _, other_tail @ ..]) = (other.0, other.0);
        u32::from_ne_bytes(head) == u32::from_ne_bytes(other_head)
            && u16::from_ne_bytes(tail) == u16::from_ne_bytes(other_tail)
    }

    /// Whether every byte is zero, which no station has.
    #[inline(always)]
    pub const fn is_zero(self) -> bool {
        matches!(self.0, [0, 0, 0, 0, 0, 0])
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ":" };
            write!(f, "{separator}{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is wrong with the text of a [`MacAddr`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MacError {
    /// It is not six pairs of hexadecimal digits separated by colons.
    Malformed,
    /// The group bit is set, so no single station can have it.
    Group,
    /// It is all zeroes.
    Zero,
}

impl fmt::Display for MacError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not six pairs of hexadecimal digits separated by colons",
            Self::Group => "a group address, which no single endpoint can have",
            Self::Zero => "all zeroes",
        })
    }
}

impl core::error::Error for MacError {}

impl core::str::FromStr for MacAddr {
    type Err = MacError;

    /// Reads the address of one station: six colon-separated bytes, neither a group address nor zero.
    fn from_str(text: &str) -> Result<Self, MacError> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().ok_or(MacError::Malformed)?;
            if part.len() != 2 || !part.bytes().all(|c| c.is_ascii_hexdigit()) {
                return Err(MacError::Malformed);
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_digits| MacError::Malformed)?;
        }
        let mac = Self(bytes);
        match parts.next() {
            Some(_) => Err(MacError::Malformed),
            None if mac.is_zero() => Err(MacError::Zero),
            None if mac.is_group() => Err(MacError::Group),
            None => Ok(mac),
        }
    }
}

/// A VXLAN network identifier: 24 bits (RFC 7348, section 5), in host order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct Vni(u32);

impl Vni {
    /// The first identifier that netctl hands out by itself; those below are for users who choose.
    pub const FIRST_AUTOMATIC: Self = Self(4096);
    /// The largest identifier.
    pub const MAX: Self = Self((1 << 24) - 1);

    /// `None` unless `value` is within 1 and [`Vni::MAX`].
    #[inline(always)]
    pub const fn new(value: u32) -> Option<Self> {
        if value == 0 || value > Self::MAX.0 { None } else { Some(Self(value)) }
    }

    /// The number itself.
    #[inline(always)]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(feature = "user")]
mod user {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

    use super::{MacAddr, Vni};

    impl Serialize for MacAddr {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(self)
        }
    }

    impl<'de> Deserialize<'de> for MacAddr {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
            text.parse()
                .map_err(|why| D::Error::custom(format_args!("MAC address {text:?}: {why}")))
        }
    }

    impl Serialize for Vni {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_u32(self.get())
        }
    }

    impl<'de> Deserialize<'de> for Vni {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let number = u32::deserialize(deserializer)?;
            Self::new(number).ok_or_else(|| {
                D::Error::custom(format_args!("VNI {number} is not within 1 and {}", Self::MAX))
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mac_text() {
        for (text, expected) in [
            ("02:00:5e:10:00:ff", Ok(MacAddr([2, 0, 0x5e, 0x10, 0, 0xff]))),
            ("02:00:5E:10:00:FF", Ok(MacAddr([2, 0, 0x5e, 0x10, 0, 0xff]))),
            ("02:00:5e:10:00", Err(MacError::Malformed)),
            ("02:00:5e:10:00:ff:01", Err(MacError::Malformed)),
            ("02:00:5e:10:00:+f", Err(MacError::Malformed)),
            ("2:0:5e:10:0:ff", Err(MacError::Malformed)),
            ("", Err(MacError::Malformed)),
            ("00:00:00:00:00:00", Err(MacError::Zero)),
            ("01:00:5e:00:00:fb", Err(MacError::Group)),
        ] {
            assert_eq!(text.parse::<MacAddr>(), expected, "{text:?}");
        }
    }

    #[test]
    fn made_macs_are_unicast_and_local() {
        for seed in 0..=255 {
            let mac = MacAddr::local_from([seed; 6]);
            assert!(!mac.is_group(), "{mac}");
            assert_eq!(mac.0[0] & 2, 2, "{mac}");
        }
    }

    #[test]
    fn vni_is_24_bits() {
        assert_eq!(Vni::new(0), None);
        assert_eq!(Vni::new(1 << 24), None);
        assert_eq!(Vni::new((1 << 24) - 1), Some(Vni::MAX));
    }
}
