//! What this process takes of its machine, from `/proc` (proc(5)), by the names that Prometheus' own libraries use.

use std::{fs, io};

use nix::unistd::{SysconfVar, sysconf};

use super::text::{Kind, Text};

/// What the process has taken.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Taken {
    /// Of all its threads, in the kernel and outside.
    cpu_seconds: f64,
    /// Since 1970.
    start_seconds: f64,
    virtual_bytes: u64,
    resident_bytes: u64,
}

/// Adds the process' families. What `/proc` does not tell is left out.
pub(super) fn write(text: &mut Text) {
    if let Ok(taken) = taken() {
        text.family(
            "process_cpu_seconds_total",
            Kind::Counter,
            "User and system CPU time spent, in seconds.",
        )
        .value(&[], taken.cpu_seconds);
        text.family(
            "process_start_time_seconds",
            Kind::Gauge,
            "Start time of the process since the Unix epoch, in seconds.",
        )
        .value(&[], taken.start_seconds);
        text.family(
            "process_virtual_memory_bytes",
            Kind::Gauge,
            "Size of the virtual memory, in bytes.",
        )
        .value(&[], taken.virtual_bytes);
        text.family(
            "process_resident_memory_bytes",
            Kind::Gauge,
            "Size of the resident memory, in bytes.",
        )
        .value(&[], taken.resident_bytes);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // The directory itself is open while it is read.
        text.family("process_open_fds", Kind::Gauge, "Open file descriptors.")
            .value(&[], open.count().saturating_sub(1));
    }
    if let Some(most) = limit() {
        text.family(
            "process_max_fds",
            Kind::Gauge,
            "File descriptors that the process may have open.",
        )
        .value(&[], most);
    }
}

fn taken() -> io::Result<Taken> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let machine = fs::read_to_string("/proc/stat")?;
    let known =
        |variable| sysconf(variable).ok().flatten().and_then(|value| u32::try_from(value).ok());
    let ticks = known(SysconfVar::CLK_TCK).map_or(100.0, f64::from);
    let page = known(SysconfVar::PAGE_SIZE).map_or(4096, u64::from);
    read(&stat, &machine, ticks, page).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "/proc/self/stat is of another form")
    })
}

/// Of the fields of `stat`, numbered from 1 as in proc(5).
fn read(stat: &str, machine: &str, ticks: f64, page: u64) -> Option<Taken> {
    // The program's name is in parentheses and may have any character in it.
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let time = |number| field(number).and_then(|ticks| u32::try_from(ticks).ok()).map(f64::from);
    let boot = machine.lines().find_map(|line| line.strip_prefix("btime "))?.parse::<u32>().ok()?;
    Some(Taken {
        cpu_seconds: (time(14)? + time(15)?) / ticks,
        start_seconds: f64::from(boot) + time(22)? / ticks,
        virtual_bytes: field(23)?,
        resident_bytes: field(24)? * page,
    })
}

fn limit() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_is_read_past() {
        let stat =
            "7 (net) ctl) S 1 7 7 0 -1 4194304 9 0 0 0 150 50 0 0 20 0 4 0 1000 8192000 300 1";
        let taken = read(stat, "cpu 1 2\nbtime 1700000000\n", 100.0, 4096);
        assert_eq!(
            taken,
            Some(Taken {
                cpu_seconds: 2.0,
                start_seconds: 1_700_000_010.0,
                virtual_bytes: 8_192_000,
                resident_bytes: 1_228_800,
            })
        );
        assert_eq!(read("7 (x) S 1", "btime 1\n", 100.0, 4096), None);
    }

    #[test]
    fn this_process_has_taken_something() {
        let taken = taken().expect("a /proc");
        assert!(taken.resident_bytes > 1 << 20 && taken.start_seconds > 1e9, "{taken:?}");
        assert!(limit().is_some_and(|most| most > 2));
    }
}
