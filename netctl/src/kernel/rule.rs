//! Rules of the routing policy.

use nix::errno::Errno;
use rtnetlink::{
    packet_core::{NLM_F_CREATE, NLM_F_EXCL},
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        rule::{RuleAction, RuleAttribute, RuleMessage},
    },
};

use super::{Error, Netlink};

/// Behind the rule for what is meant for the host itself, which has 0, and before all others.
const PRIORITY: u32 = 1;

impl Netlink {
    /// Has no IPv6 packet that comes in by a device forwarded; what is meant for the host itself still arrives. A device
    /// has no setting of its own for that, as it has for IPv4: `ip6_forward` asks the one of all devices. Nothing
    /// happens where it is so already, or where the kernel has no IPv6.
    ///
    /// The rule outlives the device: see [`Self::allow_forwarding6`].
    pub async fn forbid_forwarding6(&self, device: &str) -> Result<(), Error> {
        let message = RouteNetlinkMessage::NewRule(rule(device));
        match self.change(message, NLM_F_CREATE | NLM_F_EXCL).await {
            Ok(()) => Ok(()),
            Err(failure)
                if matches!(failure.errno(), Some(Errno::EEXIST | Errno::EAFNOSUPPORT)) =>
            {
                Ok(())
            }
            Err(failure) => {
                Err(failure.doing(format!("forbid that packets from {device} are forwarded")))
            }
        }
    }

    /// Takes back [`Self::forbid_forwarding6`].
    pub async fn allow_forwarding6(&self, device: &str) -> Result<(), Error> {
        match self.change(RouteNetlinkMessage::DelRule(rule(device)), 0).await {
            Err(failure) if failure.errno() != Some(Errno::ENOENT) => {
                Err(failure.doing(format!("allow that packets from {device} are forwarded")))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The devices for which forwarding is forbidden, whether they are there or not.
    pub async fn forbidden_forwarding6(&self) -> Result<Vec<String>, Error> {
        let mut message = RuleMessage::default();
        message.header.family = AddressFamily::Inet6;
        let answer = match self.dump(RouteNetlinkMessage::GetRule(message)).await {
            Ok(answer) => answer,
            // A kernel without IPv6, or without rules.
            Err(failure)
                if matches!(failure.errno(), Some(Errno::EAFNOSUPPORT | Errno::EOPNOTSUPP)) =>
            {
                return Ok(Vec::new());
            }
            Err(failure) => return Err(failure.doing("list the routing rules")),
        };
        Ok(answer.iter().filter_map(forbidden).collect())
    }
}

fn rule(device: &str) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = AddressFamily::Inet6;
    message.header.action = RuleAction::Unreachable;
    message.attributes =
        vec![RuleAttribute::Priority(PRIORITY), RuleAttribute::Iifname(device.to_owned())];
    message
}

/// The device of a rule that is one of ours.
fn forbidden(object: &RouteNetlinkMessage) -> Option<String> {
    let RouteNetlinkMessage::NewRule(message) = object else { return None };
    let ours = message.header.family == AddressFamily::Inet6
        && message.header.action == RuleAction::Unreachable
        && message.attributes.contains(&RuleAttribute::Priority(PRIORITY));
    let device = message.attributes.iter().find_map(|attribute| match attribute {
        RuleAttribute::Iifname(name) => Some(name.clone()),
        _ => None,
    });
    device.filter(|_| ours)
}
