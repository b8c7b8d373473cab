//! The terminal, while it is ours.

use std::{
    fmt::Write as _,
    io::{self, Stdin, Stdout, Write as _},
    os::fd::AsFd as _,
};

use nix::{
    libc,
    sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr},
};
use tokio::io::{Interest, unix::AsyncFd};

use super::rates::Sort;

/// The alternate screen, whose contents go with it, without a cursor (xterm's control sequences).
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// To the upper left corner; to the end of the line, and of the screen.
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

/// How much a terminal shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) lines: usize,
    pub(super) columns: usize,
}

/// What was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Sort(Sort),
    Other,
}

/// The terminal as it is shown on: keys come one by one and are not echoed. Dropping it makes it as it was.
pub(super) struct Screen {
    input: AsyncFd<Stdin>,
    output: Stdout,
    before: Termios,
}

impl Screen {
    pub(super) fn open() -> io::Result<Self> {
        let stdin = io::stdin();
        let before = tcgetattr(&stdin)?;
        let mut raw = before.clone();
        // Ctrl-C stays a signal; nothing stops it while the terminal is not as it was.
        raw.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
        raw.control_chars[SpecialCharacterIndices::VSUSP as usize] = libc::_POSIX_VDISABLE;
        raw.control_chars[SpecialCharacterIndices::VMIN as usize] = 0;
        raw.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        // SAFETY: standard input is open, at the same descriptor, as long as the process lives.
        let input = unsafe { AsyncFd::register_with_interest(stdin, Interest::READABLE) }?;
        let mut screen = Self { input, output: io::stdout(), before };
        tcsetattr(screen.input.get_ref(), SetArg::TCSAFLUSH, &raw)?;
        screen.write(ENTER)?;
        Ok(screen)
    }

    /// Shows what `text` makes of the size.
    pub(super) fn draw(&mut self, text: impl FnOnce(Size) -> String) -> io::Result<()> {
        let mut frame = HOME.to_owned();
        for (number, line) in text(self.size()).lines().enumerate() {
            let before = if number == 0 { "" } else { "\r\n" };
            write!(frame, "{before}{line}{CLEAR_LINE}").map_err(io::Error::other)?;
        }
        frame.push_str(CLEAR_BELOW);
        self.write(&frame)
    }

    /// The next key. Cancel safe.
    pub(super) async fn key(&mut self) -> io::Result<Key> {
        loop {
            let mut ready = self.input.readable().await?;
            let mut byte = [0];
            let read = nix::unistd::read(ready.get_inner().as_fd(), &mut byte)?;
            if read == 0 {
                ready.clear_ready();
                continue;
            }
            return Ok(match byte[0] {
                b'q' | b'Q' => Key::Quit,
                b'b' => Key::Sort(Sort::Bytes),
                b'p' => Key::Sort(Sort::Packets),
                b'd' => Key::Sort(Sort::Drops),
                b'n' => Key::Sort(Sort::Name),
                _ => Key::Other,
            });
        }
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.output.write_all(text.as_bytes())?;
        self.output.flush()
    }

    /// A terminal that does not say how large it is has the usual size.
    fn size(&self) -> Size {
        let (lines, columns) = window(&self.output).unwrap_or((24, 80));
        Size { lines, columns }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Where the terminal has gone there is nothing to make good.
        drop(self.write(LEAVE));
        let _gone = tcsetattr(self.input.get_ref(), SetArg::TCSAFLUSH, &self.before);
    }
}

/// Lines and columns (`tty_ioctl(4)`).
fn window(terminal: &Stdout) -> Option<(usize, usize)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    let fd = std::os::fd::AsRawFd::as_raw_fd(terminal);
    // SAFETY: the descriptor is open, and TIOCGWINSZ writes one `winsize`, which outlives the call.
    let result = unsafe { libc::ioctl(fd, libc::TIOCGWINSZ, &raw mut size) };
    let known = result == 0 && size.ws_row > 0 && size.ws_col > 0;
    known.then(|| (usize::from(size.ws_row), usize::from(size.ws_col)))
}
