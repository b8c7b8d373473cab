//! One member at a time: the one that worked last, over one connection.
//!
//! The client could spread calls over all members by itself, but then each call that meets a frozen one waits for its
//! time-out, again and again. Here the first failure moves everybody on to a member that answers ([`members`]), over a
//! new connection, which also leaves behind a connection that a firewall or a lost link has silently killed. A member
//! that has fallen silent while another answers is left without waiting for a call to fail ([`pulse`](super::pulse)).

use std::time::Duration;

use etcd_client::{Client, ConnectOptions};
use tokio::{
    runtime::Handle,
    sync::{Mutex, watch},
    time::{Instant, sleep, timeout_at},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    fault::Fault,
    members::{self, Member},
};

/// How long a call may take with all that is tried for it.
pub(super) const CALL: Duration = Duration::from_millis(2500);

/// How long one try of a read may take, so that a second fits.
pub(super) const READ: Duration = Duration::from_millis(1200);

/// How long a change may take: it is not tried again.
const CHANGE: Duration = Duration::from_millis(2200);

/// Before a further try.
const PAUSE: Duration = Duration::from_millis(50);

/// Before a further try of what waits for the members to choose a leader, which the number of tries does not count.
pub(super) const ELECTION: Duration = Duration::from_millis(150);

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
    /// Where connections are looked after: they outlive the work, and its thread, that needed one first.
    runtime: Handle,
    current: Mutex<Current>,
    left: watch::Sender<Left>,
}

#[derive(Default)]
struct Current {
    /// Which member.
    index: usize,
    /// How often the pool has moved on.
    generation: u64,
    client: Option<Client>,
}

/// Which generations of connections are no longer the present one.
#[derive(Clone, Copy, Debug, Default)]
struct Left {
    /// Those before this one: a call has failed, and what streams they have may live.
    before: u64,
    /// Those before this one are silent while others answer: nobody waits for them.
    silent_before: u64,
}

/// A client, and which generation of the pool it is of.
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) generation: u64,
    left: watch::Receiver<Left>,
}

impl Connection {
    /// Returns once the pool has moved on, for whatever reason. Cancel safe.
    pub(super) async fn is_left(&self) {
        self.until(|left| left.before > self.generation).await;
    }

    /// Returns once the member is known to be silent while others answer. Cancel safe.
    pub(super) async fn is_silent(&self) {
        self.until(|left| left.silent_before > self.generation).await;
    }

    async fn until(&self, holds: impl FnMut(&Left) -> bool) {
        if self.left.clone().wait_for(holds).await.is_err() {
            // The pool outlives its connections' users.
            std::future::pending::<()>().await;
        }
    }
}

impl Pool {
    /// Its connections live as long as the runtime that it is made on.
    pub(super) fn new(endpoints: Vec<String>, options: ConnectOptions, place: String) -> Self {
        let (current, left) = (Mutex::default(), watch::Sender::default());
        Self { endpoints, options, place, runtime: Handle::current(), current, left }
    }

    /// How the store names itself.
    pub(super) fn place(&self) -> String {
        self.place.clone()
    }

    /// Whether there is more than one member.
    pub(super) fn has_others(&self) -> bool {
        self.endpoints.len() > 1
    }

    /// The present connection. Making it asks the member only where it must log in, or where there are others.
    pub(super) async fn connection(&self) -> Result<Connection, Fault> {
        let mut current = self.current.lock().await;
        let client = if let Some(client) = &current.client {
            client.clone()
        } else {
            match self.connect(current.index).await {
                Ok((index, client)) => {
                    current.index = index;
                    current.client.insert(client).clone()
                }
                Err(fault) => {
                    self.move_on(&mut current);
                    // Logging in changes nothing.
                    return Err(fault.unsent());
                }
            }
        };
        Ok(Connection { client, generation: current.generation, left: self.left.subscribe() })
    }

    /// A connection to the member at `index`, or to another that answers where there are several.
    async fn connect(&self, index: usize) -> Result<(usize, Client), Fault> {
        let count = self.endpoints.len();
        if self.has_others() {
            let order = (index..index + count).map(|index| index % count);
            let member = self.first(order).await?;
            return Ok((member.index, member.client));
        }
        let (endpoints, options) = (self.endpoints.clone(), self.options.clone());
        let connecting = async move { Client::connect(endpoints, Some(options)).await };
        let connecting = AbortOnDropHandle::new(self.runtime.spawn(connecting));
        let outcome = timeout_at(Instant::now() + READ, connecting).await;
        let client = match outcome {
            Ok(Ok(connected)) => connected?,
            Ok(Err(broken)) => return Err(etcd_client::Error::Internal(broken.to_string()).into()),
            Err(_elapsed) => return Err(etcd_client::Error::Internal(SLOW.to_owned()).into()),
        };
        Ok((index, client))
    }

    async fn first(&self, order: impl Iterator<Item = usize>) -> Result<Member, Fault> {
        members::first(&self.runtime, &self.endpoints, &self.options, order).await
    }

    /// The present connection, if there is one, and which member it is to.
    pub(super) async fn present(&self) -> Option<(usize, u64, Client)> {
        let current = self.current.lock().await;
        Some((current.index, current.generation, current.client.clone()?))
    }

    /// The first of the others than the member at `index` that answers and knows of a leader, if one does.
    pub(super) async fn other(&self, index: usize) -> Option<Member> {
        let count = self.endpoints.len();
        let order = (index + 1..index + count).map(|index| index % count);
        let found = self.first(order).await;
        found.ok().filter(|member| member.led)
    }

    /// Moves on to a member that answers, from a connection whose member does not, and says whether that was the present
    /// one still.
    pub(super) async fn leave(&self, generation: u64, member: Member) -> bool {
        let mut current = self.current.lock().await;
        if current.generation != generation {
            return false;
        }
        self.move_on(&mut current);
        (current.index, current.client) = (member.index, Some(member.client));
        self.left.send_modify(|left| left.silent_before = current.generation);
        true
    }

    /// Tells that a connection has failed; the first to tell moves the pool on.
    pub(super) async fn failed(&self, generation: u64) {
        let mut current = self.current.lock().await;
        if current.generation == generation {
            self.move_on(&mut current);
        }
    }

    fn move_on(&self, current: &mut Current) {
        current.index = (current.index + 1) % self.endpoints.len();
        current.generation += 1;
        current.client = None;
        self.left.send_modify(|left| left.before = current.generation);
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
            let fault = match timeout_at(end, self.attempt(kind, &call)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(fault)) => fault,
                Err(_) => slow(),
            };
            let pause = match &fault {
                Fault::Unsettled(_) => ELECTION,
                Fault::Away { sent, .. } if kind == Kind::Read || !sent => {
                    tries -= 1;
                    PAUSE
                }
                Fault::Away { .. } | Fault::Refused(_) | Fault::NoLease | Fault::Compacted(_) => {
                    return Err(fault);
                }
            };
            if tries == 0 || Instant::now() + pause >= end {
                return Err(fault);
            }
            sleep(pause).await;
        }
    }

    async fn attempt<T, F>(&self, kind: Kind, call: impl Fn(Client) -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let connection = self.connection().await?;
        let patience = match kind {
            Kind::Read => READ,
            Kind::Change => CHANGE,
        };
        let calling = timeout_at(Instant::now() + patience, call(connection.client.clone()));
        // What became of a change that was sent may be told yet.
        let given_up = async {
            match kind {
                Kind::Read => connection.is_silent().await,
                Kind::Change => std::future::pending().await,
            }
        };
        let outcome = tokio::select! {
            outcome = calling => outcome,
            () = given_up => return Err(slow()),
        };
        let fault = match outcome {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => Fault::from(error),
            Err(_) => slow(),
        };
        if matches!(fault, Fault::Away { .. }) {
            self.failed(connection.generation).await;
        }
        Err(fault)
    }
}

const SLOW: &str = "it does not answer in time";

/// What is said of a member that was sent something and has not answered.
pub(super) fn slow() -> Fault {
    Fault::Away { reason: SLOW.to_owned(), sent: true }
}
