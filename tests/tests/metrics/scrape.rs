//! One look at a host's metrics, by its socket or by TCP.

use std::{net::SocketAddr, os::unix::net::UnixStream};

use anyhow::{Context as _, Result, anyhow, ensure};
use testbed::Host;

use crate::{
    exposition::{self, Series},
    http::{Answer, DEADLINE, answer, connect},
};

/// The request of one who wants nothing further.
pub(crate) fn request(method: &str, path: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: netctl\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    )
}

/// What the daemon answers on its own socket.
pub(crate) fn by_socket(host: &Host, method: &str, path: &str) -> Result<Answer> {
    let stream = UnixStream::connect(host.socket())?;
    stream.set_read_timeout(Some(DEADLINE))?;
    answer(stream, &request(method, path))
}

/// What it answers at an address to one who is on `from`.
pub(crate) fn by_tcp(from: &Host, to: SocketAddr, request: &str) -> Result<Answer> {
    answer(connect(from, to)?, request)
}

/// All series of one look.
#[derive(Debug)]
pub(crate) struct Scrape(pub(crate) Vec<Series>);

impl Scrape {
    /// Looks by the socket; the text has to be as the format and its conventions say.
    pub(crate) fn of(host: &Host) -> Result<Self> {
        let answer = by_socket(host, "GET", "/metrics")?;
        ensure!(answer.status == 200, "{answer:?}");
        exposition::read(&answer.body).map(Self).with_context(|| answer.body)
    }

    /// The series of this name that have these labels, among others.
    pub(crate) fn all(&self, name: &str, labels: &[(&str, &str)]) -> Vec<&Series> {
        let has = |series: &Series, (label, value): &(&str, &str)| {
            series.labels.get(*label).is_some_and(|own| own == value)
        };
        let fits =
            |series: &&Series| series.name == name && labels.iter().all(|label| has(series, label));
        self.0.iter().filter(fits).collect()
    }

    /// The value of the one series of this name that has these labels.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
        match self.all(name, labels)[..] {
            [series] => Ok(series.value),
            ref found => Err(anyhow!("{name}{labels:?}: there are {found:?}")),
        }
    }

    /// The same of what is counted in whole numbers.
    pub(crate) fn count(&self, name: &str, labels: &[(&str, &str)]) -> Result<u64> {
        let value = self.value(name, labels)?;
        ensure!(value.fract() == 0.0 && value >= 0.0, "{name}{labels:?} is {value}");
        Ok(format!("{value:.0}").parse()?)
    }
}
