//! nftables of a namespace, by the program `nft`: its text is what people know, and what they look at.

use std::{
    io,
    process::{Output, Stdio},
    time::Duration,
};

use futures_util::FutureExt as _;
use rtnetlink::sys::{
    AsyncSocket as _, AsyncSocketExt as _, SocketAddr, TokioSocket, protocols::NETLINK_NETFILTER,
};
use tokio::{io::AsyncWriteExt as _, process::Command, runtime, time::timeout};

use super::{Error, Netns};
use crate::crash;

/// How long `nft` may take: far longer than it does, and so short that who waits hears of it though another pass of the
/// reconcile loop met it before.
const PATIENCE: Duration = Duration::from_secs(5);

/// `NFNLGRP_NFTABLES` of `include/uapi/linux/netfilter/nfnetlink.h`.
const GROUP: u32 = 7;

impl Netns {
    /// Has `nft` do what `script` says (nft(8)): all of it at one moment, or nothing.
    ///
    /// # Errors
    /// [`Error::NftMissing`]; [`Error::Nft`] with what it said; [`Error::NftLate`], where it may have been done all the same.
    pub async fn nft_change(&self, script: String) -> Result<(), Error> {
        crash::step("before a change of nftables");
        let doing = "change nftables";
        let output = self.nft(doing, &["-f", "-"], script).await?;
        crash::step("after a change of nftables");
        if output.status.success() { Ok(()) } else { Err(refused(doing, &output)) }
    }

    /// What `nft` prints for these arguments; `None` where it says that what was asked for is not there.
    ///
    /// # Errors
    /// As [`Self::nft_change`].
    pub async fn nft_list(
        &self,
        arguments: &'static [&'static str],
    ) -> Result<Option<String>, Error> {
        let doing = "list nftables";
        let output = self.nft(doing, arguments, String::new()).await?;
        if output.status.success() {
            return Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()));
        }
        let missing = String::from_utf8_lossy(&output.stderr).contains("No such file or directory");
        if missing { Ok(None) } else { Err(refused(doing, &output)) }
    }

    async fn nft(
        &self,
        doing: &'static str,
        arguments: &'static [&'static str],
        input: String,
    ) -> Result<Output, Error> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => Error::NftMissing,
            _ => Error::System { doing: "run nft", source },
        };
        let runtime = runtime::Handle::current();
        let begin = move || {
            let _entered = runtime.enter();
            Command::new("nft")
                .args(arguments)
                // Its messages are looked at.
                .env("LC_ALL", "C")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
        };
        let mut child = self.run(begin).await?.map_err(failed)?;
        let exchange = async move {
            // It reads all before it says anything.
            if let Some(mut stdin) = child.stdin.take() {
                stdin.write_all(input.as_bytes()).await?;
            }
            child.wait_with_output().await
        };
        let ended = timeout(PATIENCE, exchange).await;
        ended.map_err(|_elapsed| Error::NftLate { doing, after: PATIENCE })?.map_err(failed)
    }
}

fn refused(doing: &'static str, output: &Output) -> Error {
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().unwrap_or("it does not say why").trim().to_owned();
    Error::Nft { doing, said }
}

/// Hears of every change of a namespace's nftables, whoever makes it.
pub struct NftWatch {
    socket: TokioSocket,
}

impl NftWatch {
    /// Hears of changes from now on.
    pub async fn open(netns: &Netns) -> Result<Self, Error> {
        let runtime = runtime::Handle::current();
        let opened = move || {
            let _entered = runtime.enter();
            let mut socket = TokioSocket::new(NETLINK_NETFILTER)?;
            let inner = socket.socket_mut();
            inner.bind(&SocketAddr::new(0, 0))?;
            inner.add_membership(GROUP)?;
            Ok(socket)
        };
        let socket = netns.run(opened).await?;
        let doing = "watch for changes of nftables";
        Ok(Self { socket: socket.map_err(|source| Error::System { doing, source })? })
    }

    /// Waits for a change; all that came together are one. Where some were lost, that is one too.
    ///
    /// # Errors
    /// The socket is of no more use.
    pub async fn changed(&mut self) -> io::Result<()> {
        self.heard().await?;
        // Of one transaction there are many messages, for each object of it (`nf_tables_commit_notify`).
        while let Some(heard) = self.heard().now_or_never() {
            heard?;
        }
        Ok(())
    }

    async fn heard(&mut self) -> io::Result<()> {
        match self.socket.recv_from_full().await {
            Err(error) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => Ok(()),
            heard => heard.map(drop),
        }
    }
}
