//! The signals that ask a process to end.

use std::{future::poll_fn, io, task::Poll};

use futures_util::FutureExt as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that do not end the process from here on: it has to ask for them.
pub(super) struct End {
    streams: Vec<(SignalKind, Signal)>,
}

impl End {
    /// Takes the signals. That holds for the rest of the process' life.
    pub(super) fn expect<const N: usize>(kinds: [SignalKind; N]) -> io::Result<Self> {
        let streams = kinds.into_iter().map(|kind| Ok((kind, signal(kind)?)));
        streams.collect::<io::Result<_>>().map(|streams| Self { streams })
    }

    /// Waits for one of them.
    pub(super) async fn came(&mut self) -> SignalKind {
        poll_fn(|context| {
            let came = |(kind, stream): &mut (SignalKind, Signal)| {
                stream.poll_recv(context).is_ready().then_some(*kind)
            };
            self.streams.iter_mut().find_map(came).map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// One of them, if it came by now.
    pub(super) fn has_come(&mut self) -> Option<SignalKind> {
        self.came().now_or_never()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_signal_is_kept_until_it_is_asked_for() {
        let kind = SignalKind::user_defined2();
        let mut end = End::expect([SignalKind::window_change(), kind]).expect("signals");
        assert_eq!(end.has_come(), None);
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGUSR2).expect("raised");
        assert_eq!(end.came().await, kind);
        assert_eq!(end.has_come(), None);
    }
}
