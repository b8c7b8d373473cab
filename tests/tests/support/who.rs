//! Telling who asks: what a server sees of a client's address.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use testbed::Netns;

/// How long one who asks waits for an answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often a server looks whether it is to end.
const LOOK: Duration = Duration::from_millis(20);

/// What is asked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Tcp,
    Udp,
}

/// Tells each who asks, by TCP and by UDP, its own name and the address that the question came from.
pub(crate) struct Who {
    stop: Arc<AtomicBool>,
    servers: Vec<JoinHandle<()>>,
}

impl Who {
    /// Answers on this port of all addresses in the namespace, as `name`.
    pub(crate) fn start(netns: &Netns, name: &str, port: u16) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let any = (Ipv6Addr::UNSPECIFIED, port);
        // A namespace without IPv6 has no such address.
        let any4 = (Ipv4Addr::UNSPECIFIED, port);
        let (tcp, udp) = netns.within(|| {
            let tcp = TcpListener::bind(any).or_else(|_| TcpListener::bind(any4))?;
            let udp = UdpSocket::bind(any).or_else(|_| UdpSocket::bind(any4))?;
            Ok((tcp, udp))
        })?;
        tcp.set_nonblocking(true)?;
        udp.set_read_timeout(Some(LOOK))?;
        let (stopped, known) = (Arc::clone(&stop), name.to_owned());
        let by_tcp = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                match tcp.accept() {
                    // Who does not wait for the answer does not get it.
                    Ok((mut stream, from)) => drop(stream.write_all(&answer(&known, from))),
                    Err(_) => thread::sleep(LOOK),
                }
            }
        });
        let (stopped, known) = (Arc::clone(&stop), name.to_owned());
        let by_udp = thread::spawn(move || {
            let mut question = [0; 16];
            while !stopped.load(Ordering::Relaxed) {
                if let Ok((_, from)) = udp.recv_from(&mut question) {
                    drop(udp.send_to(&answer(&known, from), from));
                }
            }
        });
        Ok(Self { stop, servers: vec![by_tcp, by_udp] })
    }
}

impl Drop for Who {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for server in self.servers.drain(..) {
            drop(server.join());
        }
    }
}

fn answer(name: &str, from: SocketAddr) -> Vec<u8> {
    format!("{name} {}", from.ip().to_canonical()).into_bytes()
}

/// Asks from a namespace; the answer is the server's name and the address that it saw.
pub(crate) fn ask(netns: &Netns, by: By, to: &str, port: u16) -> Result<(String, IpAddr)> {
    let ip: IpAddr = to.parse().with_context(|| format!("{to} is no address"))?;
    let target = SocketAddr::new(ip, port);
    let answer = netns
        .within(|| match by {
            By::Tcp => {
                let mut stream = TcpStream::connect_timeout(&target, PATIENCE)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                let mut answer = String::new();
                stream.read_to_string(&mut answer)?;
                Ok(answer)
            }
            By::Udp => ask_from(&udp_socket(target)?, target),
        })
        .with_context(|| format!("asking {target} by {by:?}"))?;
    let (name, address) = answer.split_once(' ').with_context(|| format!("{answer:?}"))?;
    Ok((name.to_owned(), address.parse()?))
}

/// A socket to ask from again and again, so that all of it is one flow.
pub(crate) fn udp_socket(target: SocketAddr) -> Result<UdpSocket> {
    let any: IpAddr =
        if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(target)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Asks once by UDP.
pub(crate) fn ask_from(socket: &UdpSocket, target: SocketAddr) -> Result<String> {
    let mut bytes = [0; 128];
    socket.send(b"who?")?;
    let length = socket.recv(&mut bytes)?;
    ensure!(length > 0, "nothing from {target}");
    Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
}

/// Fails unless nobody answers.
pub(crate) fn nobody(netns: &Netns, by: By, to: &str, port: u16) -> Result<()> {
    let answer = ask(netns, by, to, port);
    let Err(error) = answer else { anyhow::bail!("{to}:{port} answered by {by:?}: {answer:?}") };
    let refused = error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|error| {
            matches!(
                error.kind(),
                ErrorKind::TimedOut
                    | ErrorKind::WouldBlock
                    | ErrorKind::ConnectionRefused
                    | ErrorKind::ConnectionReset
                    | ErrorKind::HostUnreachable
                    | ErrorKind::NetworkUnreachable
                    | ErrorKind::PermissionDenied
            )
        })
    });
    ensure!(refused, "{error:#}");
    Ok(())
}
