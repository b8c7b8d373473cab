//! Texts that are nearly right, for tests of what reads outside input; and making one that shows a fault as short as it
//! can be.

use crate::random::Random;

/// How long a text becomes at most, in bytes, but for the ones of the corpus.
const LONGEST: usize = 4096;

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

/// One of `corpus` with up to four changes.
pub fn mangled(random: &Random, corpus: &[&[u8]]) -> Vec<u8> {
    let mut text = random.pick(corpus).to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(text.len() + 1);
        let end = (at + 1 + random.below(16)).min(text.len());
        match random.below(8) {
            0 if at < text.len() => text[at] ^= 1 << random.below(8),
            1 if at < text.len() => text[at] = random.byte(),
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

/// What is left of a text when all is cut out of it that it needs not to fail: runs of half its length first, single
/// bytes last (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002).
pub fn shrunk(text: &[u8], mut fails: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let mut best = text.to_vec();
    let mut run = best.len();
    while run > 0 {
        let before = best.len();
        let mut at = 0;
        while at < best.len() {
            let end = best.len().min(at + run);
            let shorter = [&best[..at], &best[end..]].concat();
            if fails(&shorter) {
                best = shorter;
            } else {
                at = end;
            }
        }
        // What could not go alone may go now that others have.
        run = if run == 1 && best.len() < before { 1 } else { run / 2 };
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_shrunk_to_what_fails() {
        let holds = |needles: &'static [&str]| {
            move |text: &[u8]| {
                let text = String::from_utf8_lossy(text);
                needles.iter().all(|needle| text.contains(needle))
            }
        };
        let text = "one two three four five six seven eight nine ten".repeat(20);
        for (needles, left) in [
            (&["seven"][..], &["seven"][..]),
            // Whichever comes first.
            (&["four", "nine"], &["fournine", "ninefour"]),
            // A byte may be of both.
            (&["ee", "en"], &["een", "enee"]),
            (&[], &[""]),
        ] {
            let shrunk = shrunk(text.as_bytes(), holds(needles));
            let shrunk = String::from_utf8_lossy(&shrunk);
            assert!(left.contains(&&*shrunk), "{shrunk} of {needles:?}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_texts() {
        let corpus: [&[u8]; 2] = [b"{\"a\":1}", b"[1,2]"];
        let texts = |seed| {
            let random = Random::new(seed);
            (0..100).map(|_| mangled(&random, &corpus)).collect::<Vec<_>>()
        };
        assert_eq!(texts(1), texts(1));
        assert_ne!(texts(1), texts(2));
    }
}
