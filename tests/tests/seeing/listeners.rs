//! Several listeners at once, and one that does not listen well.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    thread,
    time::Duration,
};

use anyhow::{Result, ensure};
use testbed::{Signal, eventually, frames::ethernet};

use crate::stage::{Running, SOON, played, wire, within};

#[test]
fn two_see_the_same_and_neither_ends_the_other() -> Result<()> {
    played(1, |lab| {
        let host = lab.host(1);
        let wire = wire(lab, host, "a")?;
        let forged = |mark: u8| {
            wire.send(&ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, mark], 0x0800, &[0; 50]))
        };
        let first = Running::monitor(host, "first", "--drops")?;
        let second = Running::monitor(host, "second", "")?;
        forged(0x11)?;
        let line = first.says(&[" source-mac ", " 02:00:00:00:00:11 "])?;
        ensure!(second.says(&[" source-mac ", " 02:00:00:00:00:11 "])? == line);
        within(host, "a", "ping -n -c 1 -W 2 10.92.0.1")?;
        second.says(&[" flow ", " a -> gateway icmp"])?;
        // Killed, so that nobody says goodbye.
        second.end(Signal::SIGKILL)?;
        forged(0x12)?;
        first.says(&[" source-mac ", " 02:00:00:00:00:12 "])?;
        let said = first.end(Signal::SIGINT)?;
        ensure!(!said.contains(" flow "), "{said}");
        Ok(())
    })
}

/// What waits for one who does not read is bounded, and what is lost by that is told when he reads.
#[test]
fn a_slow_listener_is_told_what_it_missed() -> Result<()> {
    played(1, |lab| {
        let host = lab.host(1);
        let wire = wire(lab, host, "a")?;
        let mut slow = UnixStream::connect(host.socket())?;
        slow.write_all(b"GET /v1/events?drops=true HTTP/1.1\r\nHost: netctl\r\n\r\n")?;
        let quick = Running::monitor(host, "quick", "--drops")?;
        let forged = ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 9], 0x0800, &[0; 50]);
        eventually("the slow one has missed something", Duration::from_mins(1), || {
            for _ in 0..2000 {
                wire.send(&forged)?;
            }
            thread::sleep(Duration::from_millis(200));
            // The quick one has all that was told: more than what waits for anybody.
            ensure!(quick.said().lines().count() > 8000, "{}", quick.said().lines().count());
            Ok(())
        })?;
        slow.set_read_timeout(Some(SOON))?;
        let (mut said, mut buffer) = (String::new(), vec![0; 65_536]);
        while !said.contains(r#""slow_listener":true"#) {
            let read = slow.read(&mut buffer)?;
            ensure!(read > 0 && said.len() < 16 << 20, "it ended: {}", said.len());
            said += &String::from_utf8_lossy(&buffer[..read]);
        }
        quick.end(Signal::SIGINT).map(drop)
    })
}
