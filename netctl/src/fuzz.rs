//! For tests of what reads outside input: texts that are nearly right, and how much memory it takes to read them.
//!
//! `MODEL_SEED=<seed>` gives the same texts again.

mod memory;
mod stored;
mod words;

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::SystemTime,
};

use serde::{Serialize, de::DeserializeOwned};

/// How many texts each reader is given.
const TEXTS: usize = 20_000;
/// How long a text becomes at most, in bytes, but for the ones of the corpus.
const LONGEST: usize = 4096;
/// What reading may take, in bytes: for all that is there once, and for each byte that is read.
const MEMORY: (usize, usize) = (64 << 10, 256);

/// What is put in anywhere.
const PIECES: &[&[u8]] = &[
    b"null",
    b"true",
    b"[]",
    b"{}",
    b"\"\"",
    b"-1",
    b"0",
    b"65536",
    b"4294967296",
    b"1e999",
    b"18446744073709551616",
    b"\"0.0.0.0/0\"",
    b"\"::/0\"",
    b"::",
    b"/",
    b".",
    b",",
    b":",
    b"=",
    b"-",
    b" ",
    b"\n",
    b"\0",
    b"\xff",
    b"\xc3\xa9",
    b"\\u0000",
    b"\\ud800",
    b"[[[[[[[[",
    b"{\"a\":",
    b"\"",
    b"%",
    b"%00",
    b"255.255.255.255",
    b"ffff:ffff::",
    b"a.a.a.a.a.a.a.a",
    b"9999999999",
];

/// Numbers: the same for the same seed (`SplitMix64`).
struct Random(Cell<u64>);

impl Random {
    fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).expect("below a usize")
    }

    fn pick<T: Copy>(&self, among: &[T]) -> T {
        among[self.below(among.len())]
    }
}

/// Gives a reader each text of a corpus, and many that are nearly such. Where it panics, or takes more memory than what it
/// reads allows, the seed and the text are told.
pub(crate) fn each<T: AsRef<[u8]>>(corpus: &[T], read: impl Fn(&[u8])) {
    let corpus: Vec<&[u8]> = corpus.iter().map(AsRef::as_ref).collect();
    let seed = seed();
    let random = Random(Cell::new(seed));
    for number in 0..TEXTS {
        let text = match corpus.get(number) {
            Some(text) => text.to_vec(),
            None => mangled(&random, &corpus),
        };
        let before = memory::begin();
        let ended = catch_unwind(AssertUnwindSafe(|| read(&text)));
        let most = memory::most_since(before);
        let (once, each) = MEMORY;
        let allowed = once + each * text.len();
        let shown = || format!("MODEL_SEED={seed:#x}: {:?}", String::from_utf8_lossy(&text));
        if let Err(panic) = ended {
            #[expect(clippy::print_stderr, reason = "the test harness shows it with the panic")]
            {
                eprintln!("{}", shown());
            }
            resume_unwind(panic);
        }
        assert!(most <= allowed, "{most} bytes of memory, {allowed} allowed; {}", shown());
    }
}

/// What can be read is written, and then read as the same. The first texts of the corpus have to be readable.
pub(crate) fn same_again<T, S>(
    corpus: &[S],
    read: impl Fn(&[u8]) -> Option<T>,
    write: impl Fn(&T) -> Vec<u8>,
) where
    T: PartialEq + std::fmt::Debug,
    S: AsRef<[u8]>,
{
    for text in corpus {
        let text = text.as_ref();
        assert!(read(text).is_some(), "{:?} is to be readable", String::from_utf8_lossy(text));
    }
    each(corpus, |text| {
        if let Some(value) = read(text) {
            assert_eq!(read(&write(&value)), Some(value));
        }
    });
}

/// [`same_again`] of JSON.
pub(crate) fn json_same_again<T>(corpus: &[&str])
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let write = |value: &T| serde_json::to_vec(value).expect("what was read can be written");
    same_again(corpus, |text| serde_json::from_slice(text).ok(), write);
}

fn mangled(random: &Random, corpus: &[&[u8]]) -> Vec<u8> {
    let mut text = random.pick(corpus).to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(text.len() + 1);
        let end = (at + 1 + random.below(16)).min(text.len());
        match random.below(8) {
            0 if at < text.len() => text[at] ^= 1 << random.below(8),
            1 if at < text.len() => text[at] = random.next().to_le_bytes()[0],
            2 => drop(text.drain(at..end.max(at))),
            3 => text.truncate(at),
            4 => {
                let again = text[at..end.max(at)].repeat(1 + random.below(40));
                text.splice(at..at, again);
            }
            5 => {
                let other = random.pick(corpus);
                let from = random.below(other.len() + 1);
                text.truncate(at);
                text.extend(&other[from..]);
            }
            _ => drop(text.splice(
                at..(at + random.below(3)).min(text.len()).max(at),
                random.pick(PIECES).iter().copied(),
            )),
        }
    }
    text.truncate(LONGEST);
    text
}

fn seed() -> u64 {
    let asked = std::env::var("MODEL_SEED").ok();
    let asked = asked.and_then(|text| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok());
    let since = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    asked.unwrap_or_else(|| since().map_or(0, |since| u64::from(since.subsec_nanos())))
}
