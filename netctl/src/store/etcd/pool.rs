//! One member at a time: the one that worked last, over one connection.
//!
//! The client could spread calls over all members by itself, but then each call that meets a frozen one waits for its
//! time-out, again and again. Here the first failure moves everybody on to the next member, over a new connection,
//! which also leaves behind a connection that a firewall or a lost link has silently killed.

use std::time::Duration;

use etcd_client::{Client, ConnectOptions};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout_at},
};

use super::fault::Fault;

/// How long a call may take with all that is tried for it.
const CALL: Duration = Duration::from_millis(2500);

/// How long one try of a read may take, so that a second fits.
const READ: Duration = Duration::from_millis(1200);

/// How long a change may take: it is not tried again.
const CHANGE: Duration = Duration::from_millis(2200);

/// Before a further try.
const PAUSE: Duration = Duration::from_millis(50);

/// The largest message taken from etcd, in bytes; etcd itself sends no larger ones.
pub(super) const MAX_MESSAGE: usize = i32::MAX.cast_unsigned() as usize;

/// Whether a call may be made twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Doing it twice is as good as once.
    Read,
    /// It must not be done twice.
    Change,
}

/// The members of one cluster, and the connection to one of them.
pub(super) struct Pool {
    endpoints: Vec<String>,
    options: ConnectOptions,
    place: String,
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    /// Which member.
    index: usize,
    /// How often the pool has moved on.
    generation: u64,
    client: Option<Client>,
}

/// A client, and which generation of the pool it is of.
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) generation: u64,
}

impl Pool {
    pub(super) fn new(endpoints: Vec<String>, options: ConnectOptions, place: String) -> Self {
        Self { endpoints, options, place, current: Mutex::default() }
    }

    /// How the store names itself.
    pub(super) fn place(&self) -> String {
        self.place.clone()
    }

    /// The present connection. Making it asks the member only where it must log in.
    pub(super) async fn connection(&self) -> Result<Connection, Fault> {
        let mut current = self.current.lock().await;
        let client = if let Some(client) = &current.client {
            client.clone()
        } else {
            let url = &self.endpoints[current.index % self.endpoints.len()];
            let connecting = Client::connect([url], Some(self.options.clone()));
            let outcome = timeout_at(Instant::now() + READ, connecting).await;
            match outcome.unwrap_or_else(|_| Err(etcd_client::Error::Internal(slow()))) {
                Ok(client) => current.client.insert(client).clone(),
                Err(error) => {
                    current.move_on();
                    let fault = Fault::from(error);
                    // Logging in changes nothing.
                    return Err(match fault {
                        Fault::Away { reason, .. } => Fault::Away { reason, sent: false },
                        Fault::Refused(_) | Fault::NoLease | Fault::Compacted(_) => fault,
                    });
                }
            }
        };
        Ok(Connection { client, generation: current.generation })
    }

    /// Tells that a connection has failed; the first to tell moves the pool on.
    pub(super) async fn failed(&self, generation: u64) {
        let mut current = self.current.lock().await;
        if current.generation == generation {
            current.move_on();
        }
    }

    /// Makes a call, at further members where one is away.
    pub(super) async fn call<T, F>(
        &self,
        kind: Kind,
        call: impl Fn(Client) -> F,
    ) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let end = Instant::now() + CALL;
        let mut tries = self.endpoints.len() + 1;
        loop {
            tries -= 1;
            let fault = match timeout_at(end, self.attempt(kind, &call)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(fault)) => fault,
                Err(_) => Fault::Away { reason: slow(), sent: true },
            };
            let again = match &fault {
                Fault::Away { sent, .. } => kind == Kind::Read || !sent,
                Fault::Refused(_) | Fault::NoLease | Fault::Compacted(_) => false,
            };
            if !again || tries == 0 || Instant::now() + PAUSE >= end {
                return Err(fault);
            }
            sleep(PAUSE).await;
        }
    }

    async fn attempt<T, F>(&self, kind: Kind, call: impl Fn(Client) -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let Connection { client, generation } = self.connection().await?;
        let patience = match kind {
            Kind::Read => READ,
            Kind::Change => CHANGE,
        };
        let fault = match timeout_at(Instant::now() + patience, call(client)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => Fault::from(error),
            Err(_) => Fault::Away { reason: slow(), sent: true },
        };
        if matches!(fault, Fault::Away { .. }) {
            self.failed(generation).await;
        }
        Err(fault)
    }
}

impl Current {
    fn move_on(&mut self) {
        self.index = self.index.wrapping_add(1);
        self.generation += 1;
        self.client = None;
    }
}

fn slow() -> String {
    "it does not answer in time".to_owned()
}
