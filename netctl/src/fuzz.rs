//! For tests of what reads outside input: texts that are nearly right, and how much memory it takes to read them.
//!
//! `MODEL_SEED=<seed>` gives the same texts again.

mod memory;
mod stored;
mod words;

use std::{
    any::Any,
    cell::Cell,
    panic::{self, AssertUnwindSafe},
    sync::Once,
};

use serde::{Serialize, de::DeserializeOwned};
use testbed::{
    random::{self, Random},
    texts::{mangled, shrunk},
};

/// How many texts each reader is given.
const TEXTS: usize = 20_000;
/// What reading may take, in bytes: for all that is there once, and for each byte that is read.
const MEMORY: (usize, usize) = (64 << 10, 256);

/// Gives a reader each text of a corpus, and many that are nearly such. Where it panics, or takes more memory than what it
/// reads allows, this does, with the seed, the text, and the shortest that can be cut out of it and fails too.
pub(crate) fn each<T: AsRef<[u8]>>(corpus: &[T], read: impl Fn(&[u8])) {
    let corpus: Vec<&[u8]> = corpus.iter().map(AsRef::as_ref).collect();
    let seed = random::seed().expect("a seed");
    let random = Random::new(seed);
    for number in 0..TEXTS {
        let text = match corpus.get(number) {
            Some(text) => text.to_vec(),
            None => mangled(&random, &corpus),
        };
        if fault(&read, &text).is_none() {
            continue;
        }
        let short = shrunk(&text, |text| fault(&read, text).is_some());
        let why = fault(&read, &short).unwrap_or_else(|| "not each time".to_owned());
        let [text, short] = [text, short].map(|text| text.escape_ascii().to_string());
        panic!("MODEL_SEED={seed:#x}: \"{short}\", cut out of \"{text}\": {why}");
    }
}

/// What is wrong with how a text is read.
fn fault(read: impl Fn(&[u8]), text: &[u8]) -> Option<String> {
    let before = memory::begin();
    let ended = quietly(|| read(text));
    let most = memory::most_since(before);
    let (once, each) = MEMORY;
    let allowed = once + each * text.len();
    match ended {
        Err(panic) => Some(said(&*panic)),
        Ok(()) => (most > allowed).then(|| format!("{most} bytes of memory, {allowed} allowed")),
    }
}

/// Catches a panic, of which nothing is printed: shrinking a text takes hundreds.
fn quietly(work: impl FnOnce()) -> Result<(), Box<dyn Any + Send>> {
    thread_local! {
        static QUIET: Cell<bool> = const { Cell::new(false) };
    }
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                loud(panic);
            }
        }));
    });
    QUIET.set(true);
    let ended = panic::catch_unwind(AssertUnwindSafe(work));
    QUIET.set(false);
    ended
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref().copied()).unwrap_or("it panics").to_owned()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(read: impl Fn(&[u8])) -> String {
        let corpus = ["{\"name\":\"web\",\"ports\":[80,443]}"];
        said(&*quietly(|| each(&corpus, read)).expect_err("it fails"))
    }

    #[test]
    fn a_text_that_panics_is_told_at_its_shortest() {
        let told = fails(|text| assert!(!text.contains(&b'['), "a list"));
        assert!(told.starts_with("MODEL_SEED=0x"), "{told}");
        assert!(told.contains(": \"[\", cut out of \"") && told.ends_with("a list"), "{told}");
    }

    #[test]
    fn a_text_that_takes_too_much_memory_is_told_at_its_shortest() {
        let told = fails(|text| {
            let much = if text.starts_with(b"{") { 1 << 20 } else { 0 };
            drop(Vec::<u8>::with_capacity(much));
        });
        assert!(told.contains(": \"{\", cut out of \""), "{told}");
        assert!(told.ends_with("1048576 bytes of memory, 65792 allowed"), "{told}");
    }
}
