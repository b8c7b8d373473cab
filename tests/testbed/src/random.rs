//! Numbers for whatever is made by chance: the same for the same seed.

use std::cell::Cell;
use std::time::SystemTime;

use anyhow::{Context as _, Result};

/// What the seed is given by, as a hexadecimal number.
pub const SEED: &str = "MODEL_SEED";

/// `SplitMix64` (Steele, Lea, Flood 2014): one addition and one mixing function.
#[derive(Debug)]
pub struct Random(Cell<u64>);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(Cell::new(seed))
    }

    pub fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("below a usize")
    }

    /// Whether something happens that happens in so many of a hundred cases.
    pub fn percent(&self, of_hundred: usize) -> bool {
        self.below(100) < of_hundred
    }

    /// One of several.
    pub fn pick<T: Clone>(&self, among: &[T]) -> T {
        among[self.below(among.len())].clone()
    }

    pub fn bytes<const LENGTH: usize>(&self) -> [u8; LENGTH] {
        std::array::from_fn(|_| self.next().to_ne_bytes()[0])
    }

    pub fn byte(&self) -> u8 {
        self.bytes::<1>()[0]
    }

    pub fn word(&self) -> u16 {
        u16::from_ne_bytes(self.bytes())
    }
}

/// The seed that [`SEED`] gives, or another each time.
pub fn seed() -> Result<u64> {
    match std::env::var(SEED) {
        Ok(text) => u64::from_str_radix(text.trim_start_matches("0x"), 16)
            .with_context(|| format!("{SEED}={text} is no hexadecimal number")),
        Err(_unset) => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
            Ok(Random::new(u64::from(now.subsec_nanos())).next())
        }
    }
}
