//! The one thread that owns every map and every link.
//!
//! Devices are found by name in the namespace of the thread that asks, so this one is started by the daemon in its
//! host's namespace and never leaves it.

mod tend;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use aya::Ebpf;
use nix::net::if_::if_nametoindex;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{info, warn};

use super::{
    Applied, Config, CounterRow, Desired, Error, FdbRow, FloodRow, NeighRow, Port, PortRow, Sweep,
    Touched,
    bpffs::{self, Pins},
    events,
    features::Features,
    filter,
    links::{Ensured, Links, Role},
    load::{self, Settings},
    maps::{Maps, PinnedMaps, Tunnel},
    paths::Path,
    plan::{Effect, Extent, plan},
    rows,
    traffic::{self, Traffic},
    usage::{self, Usage},
    values,
};
use crate::{
    kernel::{self, device_name},
    model::{MacAddr, Vteps},
};

const UNDERLAY_HINT: &str = "choose one of those that `ip link` lists with --bind-interface";
const VXLAN_HINT: &str = "the daemon makes it when it starts, so restart the daemon";

/// Where the answer to a request goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// Which ports are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Every one.
    All,
    /// Those that were not found to run their program yet.
    New,
}

/// What the owner is asked to do.
pub(super) enum Request {
    Apply(Box<Desired>, Sweep, Look, Reply<Applied>),
    /// The same of some entries alone.
    ApplyPart(Box<Desired>, Touched, Reply<Applied>),
    Fdb(Reply<Vec<FdbRow>>),
    Flood(Reply<Vec<FloodRow>>),
    Neigh(Reply<Vec<NeighRow>>),
    Ports(Reply<Vec<PortRow>>),
    Counters(Reply<Vec<CounterRow>>),
    Usage(Reply<Usage>),
    Traffic(Reply<Traffic>),
    /// Why the underlay has no XDP program though it should.
    Unfiltered(Reply<Option<String>>),
    Paths(Reply<BTreeMap<IpAddr, Path>>),
    /// The ways to these hosts, and the underlay device's own address.
    SetPaths(Vec<(IpAddr, Path)>, MacAddr),
    /// Until when the ways may be used.
    Vouch(u64),
    /// Another underlay, its addresses, and whether it is to drop forged packets.
    Rebind(String, Vteps, bool, Reply<()>),
}

/// The life of the owner's thread: opens the data plane, tells how that went, and serves until nobody can ask.
pub(super) fn run(
    config: &Config,
    ready: Reply<(Features, events::Source)>,
    mut requests: mpsc::Receiver<Request>,
    hosts: &watch::Sender<BTreeSet<IpAddr>>,
) {
    let (mut owner, opened) = match Owner::open(config) {
        Ok(opened) => opened,
        Err(error) => return answer(ready, Err(error)),
    };
    answer(ready, Ok(opened));
    loop {
        let known: BTreeSet<IpAddr> = owner.maps.tables().vteps.keys().copied().collect();
        hosts.send_if_modified(|hosts| std::mem::replace(hosts, known.clone()) != known);
        let Some(request) = requests.blocking_recv() else { break };
        owner.serve(request);
    }
    // Nobody follows the kernel from here on, and nobody holds what has no pin.
    said(owner.maps.vouch(0));
    owner.tend_pins();
}

/// What nobody waits for.
fn said(result: Result<(), Error>) {
    if let Err(error) = result {
        warn!(%error, "the way to another host is not told to the programs");
    }
}

/// Who asked may have stopped waiting.
fn answer<T>(reply: Reply<T>, result: Result<T, Error>) {
    if let Err(Err(error)) = reply.send(result) {
        warn!(%error, "nobody waits for this answer of the data plane");
    }
}

struct Owner {
    config: Config,
    settings: Settings,
    ebpf: Ebpf,
    maps: Maps,
    links: Links,
    pins: Pins,
    pinned: PinnedMaps,
    /// Whether a pin is missing that cannot be put back.
    bare: bool,
    /// Ports that were found to run their program, by index, with their names.
    running: BTreeMap<u32, String>,
    unfiltered: Option<String>,
    /// Whether it went with its pin, and is not back yet.
    filter_lost: bool,
}

impl Owner {
    /// Checks all that can be checked before it changes anything.
    fn open(config: &Config) -> Result<(Self, (Features, events::Source)), Error> {
        kernel::check_privileges()?;
        let settings = Settings {
            underlay: index(&config.underlay, UNDERLAY_HINT)?,
            vxlan: index(&config.vxlan_device, VXLAN_HINT)?,
            port: config.vxlan_port,
            local: config.vteps,
        };
        let pins = Pins::open(&config.bpf_dir)?;
        let fresh = pins.fresh;
        let opened = Self::open_at(pins, config, settings);
        if opened.is_err()
            && fresh
            && let Err(error) = bpffs::take_back(&config.bpf_dir)
        {
            warn!(%error, "cannot take back what was pinned");
        }
        opened
    }

    fn open_at(
        pins: Pins,
        config: &Config,
        settings: Settings,
    ) -> Result<(Self, (Features, events::Source)), Error> {
        let (mut ebpf, features) = load::load(&pins, settings)?;
        // Before any program runs: an earlier process may have died while somebody listened.
        let events = events::Source::take(&mut ebpf)?;
        let maps = Maps::take(&mut ebpf, Tunnel { local: settings.local, port: settings.port })?;
        let links = Links::new(&pins)?;
        let pinned = PinnedMaps::at(&pins.maps())?;
        let adopted = !pins.fresh;
        let config = config.clone();
        let mut owner = Self {
            config,
            settings,
            ebpf,
            maps,
            links,
            pins,
            pinned,
            bare: false,
            running: BTreeMap::new(),
            unfiltered: None,
            filter_lost: false,
        };
        owner.links.adopt(&mut owner.ebpf)?;
        owner.settle_host()?;
        let Config { underlay, vteps, .. } = &owner.config;
        info!(underlay, %vteps, adopted, "the data plane is up");
        Ok((owner, (features, events)))
    }

    /// Loads the programs again, which know the underlay and its addresses since they were loaded, and exchanges them.
    fn rebind(&mut self, underlay: String, vteps: Vteps, filter: bool) -> Result<(), Error> {
        let settings =
            Settings { underlay: index(&underlay, UNDERLAY_HINT)?, local: vteps, ..self.settings };
        // A map without a pin would be made anew.
        self.tend_pins();
        let (mut ebpf, _) = load::load(&self.pins, settings)?;
        let maps = Maps::take(&mut ebpf, Tunnel { local: vteps, port: settings.port })?;
        self.links.adopt(&mut ebpf)?;
        (self.ebpf, self.maps, self.settings) = (ebpf, maps, settings);
        self.config = Config { underlay, vteps, filter, ..self.config.clone() };
        self.running.clear();
        self.settle_host()?;
        let Config { underlay, vteps, .. } = &self.config;
        info!(underlay, %vteps, "the data plane is bound to another underlay");
        Ok(())
    }

    /// Attaches to the host's own devices, but for those that are left to another version.
    fn settle_host(&mut self) -> Result<(), Error> {
        let Config { underlay, vxlan_device, filter, .. } = self.config.clone();
        let ifindex = self.settings.underlay;
        let ensured = self.settle(Role::Underlay, ifindex, &underlay, UNDERLAY_HINT)?;
        self.settle(Role::Tunnel, self.settings.vxlan, &vxlan_device, VXLAN_HINT)?;
        self.unfiltered = if ensured == Ensured::Left {
            filter.then(|| "it still runs the programs of another version".to_owned())
        } else {
            filter::settle(&mut self.ebpf, &self.pins, ifindex, filter)?
        };
        Ok(())
    }

    /// Gives the host's own devices the programs of this version, now that the maps hold what is desired; ports follow.
    fn take_over(&mut self) -> Result<(), Error> {
        info!("taking over from another version");
        self.links.yielding = false;
        let settled = filter::inherit(&self.pins).and_then(|()| self.settle_host());
        self.links.yielding = settled.is_err();
        settled
    }

    /// Makes one device, and no other, have this role.
    fn settle(
        &mut self,
        role: Role,
        ifindex: u32,
        ifname: &str,
        hint: &'static str,
    ) -> Result<Ensured, Error> {
        let ensured = self.links.ensure(&mut self.ebpf, role, ifindex, ifname)?;
        if ensured == Ensured::Absent {
            return Err(Error::NoInterface { name: ifname.to_owned(), hint });
        }
        for other in self.links.held(role)? {
            if other != ifindex {
                self.links.remove(role, other)?;
            }
        }
        Ok(ensured)
    }

    fn serve(&mut self, request: Request) {
        match request {
            Request::Apply(desired, sweep, look, reply) => {
                answer(reply, self.apply(&desired, sweep, look, Extent::All));
            }
            Request::ApplyPart(desired, touched, reply) => {
                let extent = Extent::Of(&touched);
                answer(reply, self.apply(&desired, Sweep::Remove, Look::New, extent));
            }
            Request::Fdb(reply) => answer(reply, self.fdb()),
            Request::Flood(reply) => answer(reply, self.flood()),
            Request::Neigh(reply) => answer(reply, self.neigh()),
            Request::Ports(reply) => answer(reply, self.ports()),
            Request::Counters(reply) => answer(reply, rows::counters(&self.maps.counters)),
            Request::Usage(reply) => answer(reply, self.usage()),
            Request::Traffic(reply) => answer(reply, traffic::read(&self.maps)),
            Request::Unfiltered(reply) => answer(reply, Ok(self.unfiltered.clone())),
            Request::Paths(reply) => answer(reply, Ok(self.maps.paths())),
            Request::SetPaths(paths, source) => {
                for (host, path) in paths {
                    said(self.maps.set_path(host, path, source));
                }
            }
            Request::Vouch(until) => {
                said(self.maps.vouch(until));
                // It comes every second.
                self.tend_pins();
            }
            Request::Rebind(underlay, vteps, filter, reply) => {
                answer(reply, self.rebind(underlay, vteps, filter));
            }
        }
    }

    fn apply(
        &mut self,
        desired: &Desired,
        sweep: Sweep,
        look: Look,
        extent: Extent<'_>,
    ) -> Result<Applied, Error> {
        values::check(desired, self.maps.local())?;
        let is_new =
            |(ifindex, port): (&u32, &Port)| self.running.get(ifindex) != Some(&port.ifname);
        // What is attached is pinned at once, for which there has to be a place.
        if matches!(extent, Extent::All) || desired.ports.iter().any(is_new) {
            self.tend_pins();
        }
        let plan = plan(self.maps.tables(), desired, sweep, extent)?;
        let mut applied = Applied::default();
        for op in plan.first {
            applied.count(self.maps.execute(op)?);
        }
        if sweep == Sweep::Remove && self.links.yielding {
            self.take_over()?;
        }
        let pinned = match extent {
            Extent::Of(touched) => {
                for index in &touched.ports {
                    self.running.remove(index);
                }
                touched.ports.iter().copied().collect()
            }
            Extent::All => {
                if look == Look::All {
                    self.running.clear();
                }
                self.links.held(Role::Port)?
            }
        };
        self.attach(desired, &mut applied);
        if sweep == Sweep::Remove {
            for ifindex in pinned {
                if !desired.ports.contains_key(&ifindex) {
                    self.links.remove(Role::Port, ifindex)?;
                    self.running.remove(&ifindex);
                }
            }
        }
        for op in plan.then {
            applied.count(self.maps.execute(op)?);
        }
        if sweep == Sweep::Remove && applied.failed.is_empty() {
            self.retire()?;
        }
        Ok(applied)
    }

    /// Attaches the program to all ports that lack it. One device that cannot be had does not keep the others from it.
    fn attach(&mut self, desired: &Desired, applied: &mut Applied) {
        for (&ifindex, port) in &desired.ports {
            if self.running.get(&ifindex) == Some(&port.ifname) {
                continue;
            }
            match self.links.ensure(&mut self.ebpf, Role::Port, ifindex, &port.ifname) {
                Ok(Ensured::Left) => {}
                Ok(Ensured::Held) => drop(self.running.insert(ifindex, port.ifname.clone())),
                Ok(Ensured::Attached) => {
                    self.running.insert(ifindex, port.ifname.clone());
                    applied.attached.push(ifindex);
                }
                Ok(Ensured::Absent) => {
                    let reason = format!("device {} is not there, or is another", port.ifname);
                    applied.failed.push((ifindex, reason));
                }
                Err(error) => applied.failed.push((ifindex, error.to_string())),
            }
        }
    }

    /// Removes what versions with another layout left, now that all of it is held here too.
    fn retire(&mut self) -> Result<(), Error> {
        for version in self.pins.other_versions()? {
            info!(pins = %version.display(), "removing the data plane of another version");
            bpffs::clear(&version)?;
        }
        Ok(())
    }

    fn usage(&mut self) -> Result<Usage, Error> {
        Ok(Usage {
            maps: usage::maps(self.maps.tables()),
            counters: rows::counters(&self.maps.counters)?,
            programs: usage::programs(&mut self.ebpf)?,
        })
    }

    fn fdb(&self) -> Result<Vec<FdbRow>, Error> {
        let rows = self.maps.fdb()?.into_iter();
        Ok(rows.map(|((vni, mac), target)| FdbRow { vni, mac, target }).collect())
    }

    fn flood(&self) -> Result<Vec<FloodRow>, Error> {
        let rows = self.maps.flood()?.into_iter();
        Ok(rows.map(|((vni, position), target)| FloodRow { vni, position, target }).collect())
    }

    fn neigh(&self) -> Result<Vec<NeighRow>, Error> {
        let rows = self.maps.neigh()?.into_iter();
        Ok(rows.map(|((vni, address), mac)| NeighRow { vni, address, mac }).collect())
    }

    fn ports(&self) -> Result<Vec<PortRow>, Error> {
        let row = |(ifindex, entry)| PortRow { ifindex, ifname: device_name(ifindex), entry };
        Ok(self.maps.ports()?.into_iter().map(row).collect())
    }
}

impl Applied {
    fn count(&mut self, effect: Effect) {
        match effect {
            Effect::Added => self.added += 1,
            Effect::Replaced => self.replaced += 1,
            Effect::Removed => self.removed += 1,
        }
    }
}

/// The index of a device of this namespace.
fn index(name: &str, hint: &'static str) -> Result<u32, Error> {
    if_nametoindex(name).map_err(|_errno| Error::NoInterface { name: name.to_owned(), hint })
}
