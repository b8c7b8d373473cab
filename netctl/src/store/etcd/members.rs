//! Which member of the cluster to talk to: one that answers now, rather than the next of a list.

use std::time::Duration;

use etcd_client::{Client, ConnectOptions};
use tokio::{
    runtime::Handle,
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{fault::Fault, pool};

/// How much later each further member is asked than the one before: where the first answers, none else is.
const STAGGER: Duration = Duration::from_millis(50);

/// How long the others may take once one has answered that knows of no leader.
const FURTHER: Duration = Duration::from_millis(300);

/// A member that answered.
pub(super) struct Member {
    /// Its place in the list.
    pub(super) index: usize,
    pub(super) client: Client,
    /// Whether it knows of a leader: without one it neither reads nor writes.
    pub(super) led: bool,
}

/// The first that answers and knows of a leader of those at `order`, places in `urls`; or else the first that answers.
///
/// The error is that of the member that was to be asked first, where none answers.
pub(super) async fn first(
    runtime: &Handle,
    urls: &[String],
    options: &ConnectOptions,
    order: impl Iterator<Item = usize>,
) -> Result<Member, Fault> {
    let mut asked = JoinSet::new();
    for (turn, index) in (0..).zip(order) {
        let (url, options) = (urls[index].clone(), options.clone());
        let asking = async move {
            sleep(STAGGER * turn).await;
            let answer = timeout(pool::READ, ask(url, options)).await;
            let answer = answer.unwrap_or_else(|_| Err(pool::slow()));
            (turn, answer.map(|(client, led)| Member { index, client, led }))
        };
        asked.spawn_on(asking, runtime);
    }
    let (mut unled, mut failed) = (None, None::<(u32, Fault)>);
    // Each has a limit of its own.
    let mut end = Instant::now() + pool::CALL;
    while let Ok(Some(answer)) = timeout_at(end, asked.join_next()).await {
        match answer {
            Ok((_, Ok(member))) if member.led => return Ok(member),
            Ok((_, Ok(member))) => {
                unled.get_or_insert(member);
                end = end.min(Instant::now() + FURTHER);
            }
            Ok((turn, Err(fault))) if failed.as_ref().is_none_or(|(first, _)| turn < *first) => {
                failed = Some((turn, fault));
            }
            Ok((_, Err(_))) => {}
            Err(error) => tracing::error!(%error, "asking a member of etcd broke off"),
        }
    }
    unled.ok_or_else(|| failed.map_or_else(pool::slow, |(_, fault)| fault))
}

/// Connects, logs in where there is a user, and asks whether there is a leader. Nothing of that changes anything.
async fn ask(url: String, options: ConnectOptions) -> Result<(Client, bool), Fault> {
    let connected = Client::connect([url], Some(options)).await;
    let mut client = connected.map_err(|error| Fault::from(error).unsent())?;
    let led = is_led(&mut client).await.map_err(Fault::unsent)?;
    Ok((client, led))
}

/// Whether a member knows of a leader, by its own word: it asks no other for that.
pub(super) async fn is_led(client: &mut Client) -> Result<bool, Fault> {
    match client.status().await.map_err(Fault::from) {
        Ok(status) => Ok(status.leader() != 0),
        Err(fault @ Fault::Away { .. }) => Err(fault),
        // Who may not ask that was answered all the same.
        Err(_) => Ok(true),
    }
}
