//! Events: what the programs tell of single packets, for as long as somebody listens; and whether they count who sends to
//! whom, for as long as somebody asks.
//!
//! One task owns the ring and the words that switch it all on. Those are moments in time, which the task puts off every
//! second: where it has died, the programs fall silent by themselves.

mod record;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aya::{
    Ebpf,
    maps::{Array, Map, MapData, MapError, PerCpuArray, RingBuf},
};
use netctl_common::event::{Budget, EventKind, Purpose};
use tokio::{
    io::unix::AsyncFd,
    sync::{broadcast, watch},
    time::sleep,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::warn;

use self::record::Clock;
pub use self::record::PacketEvent;
use super::{
    Error,
    layout::{EVENT_BUDGETS, EVENTS, EVENTS_UNTIL, LOOKS_UNTIL, Layout},
    paths,
};

/// How often the programs are told to go on.
const VOUCH: Duration = Duration::from_secs(1);
/// How long events gather between two looks at the ring: it bounds what telling them costs by what the ring holds.
const GATHER: Duration = Duration::from_millis(20);
/// How long traffic is counted by who sends to whom after somebody has asked.
const LINGER: Duration = Duration::from_secs(10);
/// How many events may wait for one listener before it loses the oldest.
const QUEUE: usize = 2048;

/// What somebody listens to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventKinds {
    /// Packets that are dropped.
    pub drops: bool,
    /// First packets of flows.
    pub flows: bool,
}

/// What a listener gets.
#[derive(Clone, Debug)]
pub enum Told {
    /// An event.
    Packet(Arc<PacketEvent>),
    /// So many events the programs had no leave or no room to tell.
    Lost(u64),
    /// So many this listener was too slow for.
    Missed(u64),
}

/// What the programs are to do, or do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wanted {
    told: EventKinds,
    /// Whether they count who sends to whom.
    counted: bool,
}

/// How many listen to what, and until when traffic is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Listeners {
    drops: usize,
    flows: usize,
    counted_until: Option<Instant>,
}

impl Listeners {
    fn add(&mut self, kinds: EventKinds) {
        self.drops += usize::from(kinds.drops);
        self.flows += usize::from(kinds.flows);
    }

    fn remove(&mut self, kinds: EventKinds) {
        self.drops -= usize::from(kinds.drops);
        self.flows -= usize::from(kinds.flows);
    }

    fn wanted(self) -> Wanted {
        Wanted {
            told: EventKinds { drops: self.drops > 0, flows: self.flows > 0 },
            counted: self.counted_until.is_some_and(|until| Instant::now() < until),
        }
    }
}

/// The maps.
pub(super) struct Source {
    ring: RingBuf<MapData>,
    switch: Switch,
}

/// What switches the programs on, and counts what they did not tell.
struct Switch {
    until: Array<MapData, u64>,
    looks: Array<MapData, u64>,
    budgets: PerCpuArray<MapData, Budget>,
}

impl Source {
    /// Takes the maps out of the object, and has the programs tell and count nothing.
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, Error> {
        let ring = take(ebpf, &EVENTS)?;
        let mut switch = Switch {
            until: take(ebpf, &EVENTS_UNTIL)?,
            looks: take(ebpf, &LOOKS_UNTIL)?,
            budgets: take(ebpf, &EVENT_BUDGETS)?,
        };
        switch.set(Wanted::default())?;
        Ok(Self { ring, switch })
    }
}

fn take<T: TryFrom<Map, Error = MapError>>(ebpf: &mut Ebpf, layout: &Layout) -> Result<T, Error> {
    let map = ebpf.take_map(layout.name);
    let map = map.ok_or(Error::Incomplete { what: "map", name: layout.name })?;
    map.try_into().map_err(|source| Error::Map { what: "open", map: layout.name, source })
}

impl Switch {
    /// Has the programs do this for a while, and nothing else.
    fn set(&mut self, Wanted { told, counted }: Wanted) -> Result<(), Error> {
        let EventKinds { drops, flows } = told;
        let lease = paths::lease();
        let until = |wanted| if wanted { lease } else { 0 };
        for (purpose, wanted) in
            [(Purpose::Drops, drops), (Purpose::Flows, flows), (Purpose::Traffic, counted)]
        {
            let written = |source| Error::Map { what: "write", map: LOOKS_UNTIL.name, source };
            self.looks.set(purpose as u32, until(wanted), 0).map_err(written)?;
        }
        for (kind, wanted) in [(EventKind::Drop, drops), (EventKind::Flow, flows)] {
            let written = |source| Error::Map { what: "write", map: EVENTS_UNTIL.name, source };
            self.until.set(kind as u32, until(wanted || counted), 0).map_err(written)?;
        }
        Ok(())
    }

    /// How many events were not told since the maps were made.
    fn lost(&self) -> Result<u64, Error> {
        let read = |source| Error::Map { what: "read", map: EVENT_BUDGETS.name, source };
        let mut lost = 0;
        for kind in EventKind::ALL {
            let budgets = self.budgets.get(&(kind as u32), 0).map_err(read)?;
            lost += budgets.iter().map(|budget| budget.lost).sum::<u64>();
        }
        Ok(lost)
    }
}

/// Where one comes to listen.
#[derive(Clone, Debug)]
pub(super) struct Events {
    listeners: Arc<watch::Sender<Listeners>>,
    told: broadcast::Sender<Told>,
    /// What the programs do at present.
    active: watch::Receiver<Wanted>,
    /// Ends the gathering of events, at the latest when nobody can come to listen any more.
    end: Arc<DropGuard>,
}

impl Events {
    /// Gathers events for those who come to listen, for as long as anybody can.
    pub(super) fn start(source: Source) -> Result<Self, Error> {
        let Source { ring, switch } = source;
        // SAFETY: the ring has its descriptor, which is the map's, for as long as it is there, and nobody else closes it.
        let ring = unsafe { AsyncFd::register(ring) };
        let ring = ring.map_err(|error| Error::Ring { source: error.into() })?;
        let (told, _) = broadcast::channel(QUEUE);
        let (active, current) = watch::channel(Wanted::default());
        let listeners = Arc::new(watch::Sender::default());
        let gatherer = Gatherer {
            ring,
            switch,
            listeners: listeners.subscribe(),
            told: told.clone(),
            active,
            lost: 0,
        };
        let cancel = CancellationToken::new();
        drop(tokio::spawn(gatherer.run(cancel.clone())));
        Ok(Self { listeners, told, active: current, end: Arc::new(cancel.drop_guard()) })
    }

    /// Has the programs tell nothing any more, for good; returns when that is so.
    pub(super) async fn end(&self) {
        self.end.token().cancel();
        let mut active = self.active.clone();
        while active.changed().await.is_ok() {}
    }

    /// Listens to these kinds; what happens from now on is told.
    pub(super) async fn listen(&self, kinds: EventKinds) -> Listening {
        let told = self.told.subscribe();
        self.listeners.send_modify(|listeners| listeners.add(kinds));
        let listening = Listening { told, kinds, listeners: Arc::clone(&self.listeners) };
        let covers = |Wanted { told, .. }: &Wanted| {
            (told.drops || !kinds.drops) && (told.flows || !kinds.flows)
        };
        // Where nobody gathers any more, nothing will come, which the listener finds out by itself.
        drop(self.active.clone().wait_for(covers).await);
        listening
    }

    /// Has the programs count who sends to whom from now on, until nobody has asked for that for a while.
    pub(super) async fn count(&self) {
        let until = Some(Instant::now() + LINGER);
        self.listeners.send_modify(|listeners| listeners.counted_until = until);
        drop(self.active.clone().wait_for(|active| active.counted).await);
    }
}

/// Somebody who listens, until it is dropped.
#[derive(Debug)]
pub struct Listening {
    told: broadcast::Receiver<Told>,
    kinds: EventKinds,
    listeners: Arc<watch::Sender<Listeners>>,
}

impl Listening {
    /// What is told next, of what any listener wants; `None` where nothing will be any more.
    pub async fn next(&mut self) -> Option<Told> {
        match self.told.recv().await {
            Ok(told) => Some(told),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Told::Missed(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.listeners.send_modify(|listeners| listeners.remove(self.kinds));
    }
}

/// Who reads the ring.
struct Gatherer {
    ring: AsyncFd<RingBuf<MapData>>,
    switch: Switch,
    listeners: watch::Receiver<Listeners>,
    told: broadcast::Sender<Told>,
    active: watch::Sender<Wanted>,
    /// How many events were lost by what was last looked at.
    lost: u64,
}

impl Gatherer {
    async fn run(mut self, cancel: CancellationToken) {
        cancel.run_until_cancelled(self.gather()).await;
        self.turn(Wanted::default());
    }

    async fn gather(&mut self) {
        loop {
            let wanted = self.listeners.borrow_and_update().wanted();
            if wanted == Wanted::default() {
                self.turn(wanted);
                if self.listeners.changed().await.is_err() {
                    return;
                }
                // What is in the ring still is old.
                self.read(|_old| {});
                self.lost = self.count_lost();
                continue;
            }
            self.turn(wanted);
            tokio::select! {
                changed = self.listeners.changed() => if changed.is_err() { return },
                () = sleep(VOUCH) => {}
                readable = self.ring.readable() => {
                    if let Ok(mut readable) = readable {
                        readable.clear_ready();
                    }
                }
            }
            let told = self.told.clone();
            // Nobody may listen any more, which the next turn sees.
            self.read(|event| drop(told.send(Told::Packet(Arc::new(event)))));
            let lost = self.count_lost();
            if lost > self.lost {
                drop(self.told.send(Told::Lost(lost - self.lost)));
                self.lost = lost;
            }
            sleep(GATHER).await;
        }
    }

    /// Has the programs do this from now on.
    fn turn(&mut self, wanted: Wanted) {
        if let Err(error) = self.switch.set(wanted) {
            warn!(%error, "the programs cannot be told what is listened to");
        }
        self.active.send_replace(wanted);
    }

    fn count_lost(&self) -> u64 {
        self.switch.lost().unwrap_or_else(|error| {
            warn!(%error, "it cannot be told how many events were lost");
            self.lost
        })
    }

    /// Takes what is in the ring.
    fn read(&mut self, mut each: impl FnMut(PacketEvent)) {
        let clock = Clock::now();
        while let Some(record) = self.ring.get_mut().next() {
            if let Some(event) = record::read(&record, clock) {
                each(event);
            }
        }
    }
}
