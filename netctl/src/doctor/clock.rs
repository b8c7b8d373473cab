//! How this host's clock stands to that of the machine of etcd, which says its time in each answer by HTTP.

use std::{
    io::{Read as _, Write as _},
    net::{TcpStream, ToSocketAddrs as _},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::model::UnixTime;

/// How long etcd may take; the store itself is tried out by others.
const PATIENCE: Duration = Duration::from_secs(1);

/// By how many seconds the clock of the first member at `place` is before this host's, or behind where that is negative;
/// `None` where it is no etcd, one that is reached by TLS, or one that does not answer. Blocks.
pub(super) fn ahead(place: &str) -> Option<i64> {
    let url = place.strip_prefix("etcd http://")?.split(',').next()?;
    let at = url.to_socket_addrs().ok()?.next()?;
    let mut stream = TcpStream::connect_timeout(&at, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(b"GET /version HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer).ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    let theirs = answer.lines().find_map(|line| date(line.strip_prefix("Date: ")?))?;
    Some(theirs.cast_signed() - now.cast_signed())
}

/// The time that a date of HTTP says, `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7).
fn date(text: &str) -> Option<UnixTime> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split_whitespace().skip(1);
    let day: u64 = words.next()?.parse().ok()?;
    let name = words.next()?;
    let month = u64::try_from(MONTHS.iter().position(|month| *month == name)?).ok()? + 1;
    let year: u64 = words.next()?.parse().ok()?;
    let mut time = words.next()?.split(':').map(|number| number.parse::<u64>().ok());
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    // Years begin in March, so that the day that some have more is their last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap = year / 4 - year / 100 + year / 400;
    let days = (year * 365 + leap + (month * 153 + 2) / 5 + day - 1).checked_sub(719_468)?;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read() {
        for (text, expected) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Tue, 29 Feb 2000 12:00:00 GMT", Some(951_825_600)),
            ("Fri, 01 Mar 2100 00:00:00 GMT", Some(4_107_542_400)),
            ("Thu, 31 Dec 2026 23:59:59 GMT", Some(1_798_761_599)),
            ("Sun, 06 Now 1994 08:49:37 GMT", None),
            ("now", None),
        ] {
            assert_eq!(date(text), expected, "{text}");
        }
    }
}
