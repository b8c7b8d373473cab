//! A watch that survives its connection.
//!
//! The stream is opened from the first revision that was not yet seen, and again from there whenever it breaks. etcd
//! sends the events of one revision in one message as long as fragments are not asked for, so a message is always
//! whole revisions. A stream that is silent is asked for its progress; one that does not answer is dead. It is asked at
//! once where others have had to leave its connection, and not at all where that is known to be dead.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use etcd_client::{Event, EventType, GetOptions, WatchOptions, WatchResponse, WatchStream};
use tokio::time::{Instant, sleep_until, timeout};

use super::{
    super::{Change, Error, Revision, Watch},
    entry,
    fault::Fault,
    pool::{self, Connection, Kind, Pool},
};
use crate::backoff::{self, Backoff};

/// After so much silence a stream is asked whether it lives.
const SILENCE: Duration = Duration::from_secs(2);

/// How long it may take to answer, and to open.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long it may take to answer where its connection is one that others have left.
const SUSPICION: Duration = Duration::from_millis(700);

/// The pause before a stream is opened again, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// How often etcd may refuse in a row before it is believed: a token that has run out is one refusal.
const REFUSALS: u32 = 3;

/// See the module.
pub(super) struct EtcdWatch {
    place: Place,
    /// The first revision that was not yet seen.
    from: Revision,
    state: State,
    backoff: Backoff,
    refusals: u32,
    /// Whether it has had a stream before.
    opened: bool,
}

/// What is watched.
#[derive(Clone)]
struct Place {
    pool: Arc<Pool>,
    /// The store's own prefix, which keys lose.
    root: String,
    /// The whole prefix that is watched.
    prefix: String,
}

enum State {
    Waiting(Instant),
    /// Kept here, so that a caller that gives up on `next` and comes again does not begin anew.
    Opening(Pin<Box<dyn Future<Output = Result<Live, Fault>> + Send>>),
    Open(Box<Live>),
}

/// An open stream.
struct Live {
    stream: WatchStream,
    connection: Connection,
    /// Whether others talk over another connection by now.
    left: bool,
    heard: Instant,
    /// When it was asked for its progress, where it has not answered yet.
    asked: Option<Instant>,
}

impl EtcdWatch {
    pub(super) fn new(pool: Arc<Pool>, root: String, prefix: &str, from: Revision) -> Self {
        let prefix = format!("{root}{prefix}");
        Self {
            place: Place { pool, root, prefix },
            from: from.max(Revision(1)),
            state: State::Waiting(Instant::now()),
            backoff: Backoff::new(PAUSES.0, PAUSES.1),
            refusals: 0,
            opened: false,
        }
    }

    /// Takes notice of a broken stream; an error where opening it again is no use.
    fn broken(&mut self, fault: Fault) -> Result<(), Error> {
        let pause = match &fault {
            Fault::Unsettled(_) => pool::ELECTION + backoff::spread(pool::ELECTION),
            Fault::Away { .. } | Fault::Refused(_) | Fault::NoLease | Fault::Compacted(_) => {
                self.backoff.pause()
            }
        };
        self.state = State::Waiting(Instant::now() + pause);
        match &fault {
            Fault::Away { reason, .. } | Fault::Unsettled(reason) => {
                tracing::debug!(
                    prefix = self.place.prefix,
                    reason,
                    "watch broken, opening it again"
                );
                return Ok(());
            }
            Fault::Refused(_) if self.refusals + 1 < REFUSALS => {
                self.refusals += 1;
                return Ok(());
            }
            Fault::Compacted(_) => return Err(Error::Compacted { wanted: self.from }),
            Fault::Refused(_) | Fault::NoLease => {}
        }
        Err(fault.at(&self.place.pool.place()))
    }

    /// The changes in a message, none in one that only shows life.
    fn changes(&mut self, message: &WatchResponse) -> Result<Vec<Change>, Fault> {
        if let Some(fault) = canceled(message) {
            return Err(fault);
        }
        let changes = message.events().iter().filter_map(|event| change(&self.place.root, event));
        let changes: Vec<_> = changes.collect::<Result<_, _>>()?;
        if let Some(last) = changes.last() {
            self.from = Revision(last.revision().0 + 1);
        }
        Ok(changes)
    }
}

#[async_trait]
impl Watch for EtcdWatch {
    async fn next(&mut self) -> Result<Vec<Change>, Error> {
        loop {
            match &mut self.state {
                State::Waiting(until) => {
                    sleep_until(*until).await;
                    let opening = open(self.place.clone(), self.from);
                    self.state = State::Opening(Box::pin(opening));
                }
                State::Opening(opening) => match opening.await {
                    Ok(live) => {
                        self.state = State::Open(Box::new(live));
                        self.backoff.reset();
                        self.refusals = 0;
                        if std::mem::replace(&mut self.opened, true) {
                            return Ok(Vec::new());
                        }
                    }
                    Err(fault) => self.broken(fault)?,
                },
                State::Open(live) => {
                    let generation = live.connection.generation;
                    let outcome = match live.message().await {
                        Ok(message) => self.changes(&message),
                        Err(fault) => Err(fault),
                    };
                    match outcome {
                        Ok(changes) if changes.is_empty() => {}
                        Ok(changes) => return Ok(changes),
                        Err(fault) => {
                            self.broken(fault.clone())?;
                            if matches!(fault, Fault::Away { .. } | Fault::Refused(_)) {
                                self.place.pool.failed(generation).await;
                            }
                        }
                    }
                }
            }
        }
    }
}

impl Live {
    /// The next message. Cancel safe.
    async fn message(&mut self) -> Result<WatchResponse, Fault> {
        loop {
            let due = match self.asked {
                Some(asked) => asked + if self.left { SUSPICION } else { PATIENCE },
                None => self.heard + SILENCE,
            };
            tokio::select! {
                message = self.stream.message() => {
                    let message = message?.ok_or_else(|| away("it has ended the stream"))?;
                    self.heard = Instant::now();
                    self.asked = None;
                    return Ok(message);
                }
                () = self.connection.is_silent() => return Err(away("it is silent")),
                () = self.connection.is_left(), if !self.left => {
                    self.left = true;
                    self.ask().await?;
                }
                () = sleep_until(due) => {
                    if self.asked.is_some() {
                        return Err(away("it is silent"));
                    }
                    self.ask().await?;
                }
            }
        }
    }

    /// Asks for its progress. What is noted is noted first: a caller that gives up here must not make it ask twice.
    async fn ask(&mut self) -> Result<(), Fault> {
        self.asked = Some(Instant::now());
        Ok(self.stream.request_progress().await?)
    }
}

/// Opens the stream, and waits until etcd says that it is.
async fn open(place: Place, from: Revision) -> Result<Live, Fault> {
    let connection = place.pool.connection().await?;
    let generation = connection.generation;
    let options = WatchOptions::new().with_prefix().with_start_revision(from.0.cast_signed());
    let mut client = connection.client.watch_client().max_decoding_message_size(pool::MAX_MESSAGE);
    let opening = async {
        let mut stream = client.watch(place.prefix.clone(), Some(options)).await?;
        let first = stream.message().await?.ok_or_else(|| away("it has ended the stream"))?;
        Ok((stream, first))
    };
    let opened = tokio::select! {
        opened = timeout(PATIENCE, opening) => opened.unwrap_or_else(|_| Err(pool::slow())),
        () = connection.is_silent() => Err(pool::slow()),
    };
    let opened = opened.and_then(|(stream, first)| match canceled(&first) {
        None => Ok((stream, first)),
        Some(fault) => Err(fault),
    });
    let (stream, first) = match opened {
        Ok(opened) => opened,
        Err(fault) => {
            if matches!(fault, Fault::Away { .. } | Fault::Refused(_)) {
                place.pool.failed(generation).await;
            }
            return Err(fault);
        }
    };
    let at = first.header().map_or(0, etcd_client::ResponseHeader::revision).cast_unsigned();
    if at + 1 < from.0 {
        went_back(&place, from).await?;
    }
    Ok(Live { stream, connection, left: false, heard: Instant::now(), asked: None })
}

/// Finds out whether the store was put back to an earlier state, where the wanted revision has not been yet and never
/// will be the one that was meant. A member that is only behind says so too: a linearizable read tells.
async fn went_back(place: &Place, from: Revision) -> Result<(), Fault> {
    let answer = place.pool.call(Kind::Read, |mut client| {
        let prefix = place.prefix.clone();
        async move { client.get(prefix, Some(GetOptions::new().with_count_only())).await }
    });
    let at = answer.await?.header().map_or(0, etcd_client::ResponseHeader::revision);
    if at.cast_unsigned() + 1 < from.0 { Err(Fault::Compacted(from)) } else { Ok(()) }
}

fn away(reason: &str) -> Fault {
    Fault::Away { reason: reason.to_owned(), sent: true }
}

/// Why etcd has ended a watch, where it has. It keeps the stream open then, and sends no error.
fn canceled(message: &WatchResponse) -> Option<Fault> {
    message.canceled().then(|| match message.compact_revision() {
        0 => Fault::Refused(match message.cancel_reason() {
            "" => "it has ended the watch and gave no reason".to_owned(),
            reason => reason.strip_prefix("etcdserver: ").unwrap_or(reason).to_owned(),
        }),
        compacted => Fault::Compacted(Revision(compacted.cast_unsigned())),
    })
}

fn change(root: &str, event: &Event) -> Option<Result<Change, Fault>> {
    let entry = entry(root, event.kv()?.clone());
    Some(entry.map(|entry| match event.event_type() {
        EventType::Put => Change::Put(entry),
        EventType::Delete => Change::Delete { key: entry.key, revision: entry.modified },
    }))
}
