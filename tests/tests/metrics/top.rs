//! `netctl top`, printed once and on a terminal.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::fd::AsFd as _,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    pty::{OpenptyResult, Winsize, openpty},
    sys::termios::{Termios, tcgetattr},
};
use serde_json::Value;
use testbed::{Host, Lab, Signal, Store, Wire, eventually, frames::ethernet};

use crate::{SOON, address, join, lab, netns, within};

fn played(scenario: impl FnOnce(&Lab) -> Result<()>) -> Result<()> {
    let lab = lab(1, Store::File, &[])?;
    let host = lab.host(1);
    let played = ["a", "b", "idle"]
        .iter()
        .try_for_each(|name| join(host, name))
        .and_then(|()| scenario(&lab));
    played.map_err(|error| lab.explain(error))?;
    lab.end()
}

/// Packets a second in a direction of the service, in what is printed for programs.
fn rate(rates: &Value, service: &str, direction: &str) -> Result<f64> {
    let endpoints = rates["endpoints"].as_array().context("no endpoints")?;
    let own = endpoints.iter().find(|own| own["service"] == service).context("not there")?;
    own[direction]["packets"].as_f64().with_context(|| format!("no packets: {own}"))
}

#[test]
fn once_it_prints_what_an_interval_brought() -> Result<()> {
    played(|lab| {
        let host = lab.host(1);
        let target = address(host, "b")?;
        let line = format!("netctl exec box-a -- ping -n -q -i 0.02 -w 20 {target}");
        let mut ping = host.spawn("ping", line.split(' '))?;
        let wire = Wire::new(&netns(lab, host, "idle")?, "eth0")?;
        let forged = ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 9], 0x0800, &[0x45; 50]);
        let forger = thread::spawn(move || {
            for _ in 0..300 {
                wire.send(&forged)?;
                thread::sleep(Duration::from_millis(10));
            }
            anyhow::Ok(())
        });
        let words = ["top", "--once", "--interval", "1", "--format", "json"];
        let rates: Value = serde_json::from_str(&host.ok(words)?)?;
        for (service, direction) in [("a", "sent"), ("a", "received"), ("b", "sent")] {
            let rate = rate(&rates, service, direction)?;
            ensure!((5.0..=60.0).contains(&rate), "{service} {direction}: {rate}: {rates}");
        }
        ensure!(rate(&rates, "idle", "received")? < 2.0, "{rates}");
        let dropped = &rates["drops"][0];
        ensure!(dropped["reason"] == "source-mac", "{rates}");
        ensure!(dropped["packets"].as_f64().is_some_and(|rate| rate > 5.0), "{rates}");

        // No terminal: it is as with --once.
        let text = host.ok(["top", "--interval", "0.5", "--sort", "name"])?;
        let lines: Vec<&str> = text.lines().collect();
        ensure!(lines[0].starts_with("3 endpoints, in "), "{text}");
        ensure!(lines[2].starts_with("SERVICE   NETWORK   SANDBOX"), "{text}");
        for (line, service) in lines[3..].iter().zip(["a ", "b ", "idle "]) {
            ensure!(line.starts_with(service), "{text}");
        }
        ensure!(text.contains("\ndropped by from-container: "), "{text}");
        let text = host.ok(["top", "--once", "--interval", "0.2", "--network", "other"])?;
        ensure!(text.starts_with("0 endpoints, in 0 b/s and 0/s, "), "{text}");
        forger.join().expect("no panic")?;
        ping.stop(Signal::SIGINT, SOON)
    })
}

/// `netctl top` on a terminal of its own.
struct Terminal {
    child: Child,
    keyboard: File,
    slave: std::os::fd::OwnedFd,
    before: Termios,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    fn start(host: &Host, lines: u16) -> Result<Self> {
        let size = Winsize { ws_row: lines, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        let OpenptyResult { master, slave } = openpty(&size, None)?;
        let before = tcgetattr(slave.as_fd())?;
        // A session of its own, whose terminal it is: so that Ctrl-C comes as the signal that it is.
        let words = ["setsid", "--ctty", "--wait", "netctl", "top", "--interval", "0.3"];
        let mut command: Command = host.command(words);
        let stdio = || Ok::<_, std::io::Error>(Stdio::from(slave.try_clone()?));
        command.stdin(stdio()?).stdout(stdio()?).stderr(stdio()?);
        let child = command.spawn()?;
        let shown = Arc::<Mutex<String>>::default();
        let mut screen = File::from(master.try_clone()?);
        let showing = Arc::clone(&shown);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = screen.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                showing.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
            }
        });
        Ok(Self { child, keyboard: File::from(master), slave, before, shown })
    }

    fn shown(&self) -> String {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn shows(&self, text: &str) -> Result<()> {
        eventually(&format!("it shows {text:?}"), SOON, || {
            let shown = self.shown();
            ensure!(shown.contains(text), "{shown:?}");
            Ok(())
        })
    }

    fn press(&mut self, keys: &[u8]) -> Result<()> {
        Ok(self.keyboard.write_all(keys)?)
    }

    /// Waits for its end, and fails unless the terminal is as it was; what it has shown, and its exit code.
    fn ends(mut self) -> Result<(String, Option<i32>)> {
        let status = eventually("it ends", SOON, || self.child.try_wait()?.context("it runs"))?;
        let after = tcgetattr(self.slave.as_fd())?;
        ensure!(after.local_flags == self.before.local_flags, "{:?}", after.local_flags);
        ensure!(after.control_chars == self.before.control_chars, "{:?}", after.control_chars);
        eventually("the screen is left", SOON, || {
            let shown = self.shown();
            ensure!(shown.contains("\x1b[?25h\x1b[?1049l"), "{shown:?}");
            Ok(())
        })?;
        Ok((self.shown(), status.code()))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // Whether it is there still is of no interest.
            let _gone = self.child.kill();
            let _status = self.child.wait();
        }
    }
}

#[test]
fn a_terminal_is_as_it_was_whatever_ends_it() -> Result<()> {
    played(|lab| {
        let host = lab.host(1);
        let target = address(host, "b")?;
        let mut ping = host.spawn(
            "ping",
            format!("netctl exec box-a -- ping -n -q -i 0.02 -w 30 {target}").split(' '),
        )?;
        let mut pressed = Terminal::start(host, 20)?;
        pressed.shows("\x1b[?1049h\x1b[?25l")?;
        pressed.shows("3 endpoints, in ")?;
        let busy_first = pressed.shown();
        let place = |text: &str, name: &str| text.rfind(&format!("\r\n{name}   "));
        ensure!(place(&busy_first, "idle") > place(&busy_first, "a"), "{busy_first:?}");
        pressed.press(b"n")?;
        pressed.press(b"xq")?;
        let (_, code) = pressed.ends()?;
        ensure!(code == Some(0), "q: {code:?}");

        let mut interrupted = Terminal::start(host, 20)?;
        interrupted.shows("3 endpoints, in ")?;
        interrupted.press(b"\x03")?;
        let (_, code) = interrupted.ends()?;
        ensure!(code == Some(0), "Ctrl-C: {code:?}");

        // Of a small one, the end is cut.
        let bereft = Terminal::start(host, 6)?;
        bereft.shows("3 endpoints, in ")?;
        bereft.shows("q quit")?;
        host.stop_daemon(Signal::SIGKILL)?;
        let (shown, code) = bereft.ends()?;
        ensure!(code == Some(3), "without a daemon: {code:?}: {shown:?}");
        let (_, after) = shown.rsplit_once("\x1b[?1049l").context("it is left")?;
        ensure!(after.contains("error: netctl daemon cannot be reached at "), "{after:?}");
        lab.start_daemon(host)?;
        within(host, "a", "true")?;
        ping.stop(Signal::SIGINT, SOON)
    })
}
