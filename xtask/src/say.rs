//! What the tasks look like on a terminal. Colour only where stdout is one.

use std::fmt::Arguments;
use std::io::{IsTerminal as _, Write as _, stderr, stdout};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// As `println!`, but goes on where nobody listens: `cargo xtask lab up | head -1` is no reason to
/// leave a lab half made.
macro_rules! out {
    ($($argument:tt)*) => {
        $crate::say::write(format_args!("{}\n", format_args!($($argument)*)))
    };
}

pub(crate) fn write(text: Arguments<'_>) {
    if ASIDE.load(Ordering::Relaxed) {
        drop(stderr().lock().write_fmt(text));
        return;
    }
    let mut stdout = stdout().lock();
    drop(stdout.write_fmt(text).and_then(|()| stdout.flush()));
}

static ASIDE: AtomicBool = AtomicBool::new(false);

/// From here on all of this goes to stderr: stdout is for a program.
pub(crate) fn aside() {
    ASIDE.store(true, Ordering::Relaxed);
}

/// Writes to stdout, whatever goes aside.
pub(crate) fn result(text: &str) {
    let mut stdout = stdout().lock();
    drop(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()));
}

static COLOUR: LazyLock<bool> =
    LazyLock::new(|| stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none());

fn paint(code: &str, text: &str) -> String {
    if *COLOUR { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

pub(crate) fn strong(text: &str) -> String {
    paint("1", text)
}

pub(crate) fn faint(text: &str) -> String {
    paint("2", text)
}

pub(crate) fn good(text: &str) -> String {
    paint("1;32", text)
}

pub(crate) fn bad(text: &str) -> String {
    paint("1;31", text)
}

/// A chapter of the story: what is going to happen, in one sentence.
pub(crate) fn chapter(number: usize, text: &str) {
    out!("\n{} {}", paint("1;36", &format!("{number}.")), strong(text));
}

/// A remark on what was or will be seen.
pub(crate) fn remark(text: &str) {
    out!("   {}", faint(text));
}

/// A command as a person would type it on `host`.
pub(crate) fn command(host: &str, line: &str) {
    out!("   {} {}", paint("36", &format!("{host}$")), strong(line));
}

/// What a command wrote.
pub(crate) fn output(text: &str) {
    for line in text.lines() {
        out!("   {line}");
    }
}

/// Something is done that takes no time worth showing.
pub(crate) fn done(text: &str) {
    out!("{} {text}", good("✓"));
}
