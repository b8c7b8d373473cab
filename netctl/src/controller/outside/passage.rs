//! Passage where somebody else's `FORWARD` chain drops what no rule of his lets through, as Docker's does.
//!
//! A packet has to be let through by every table. So what is for our networks and comes from them is let through there,
//! last, after all that he says about it himself: it is our own table that decides. His rules stay as they are, and those
//! of ours are such that `iptables` can read them.

use std::{collections::BTreeSet, fmt::Write as _};

use serde_json::Value;

use crate::kernel::{self, Netns};

/// The tables that `iptables` and `ip6tables` have in nftables, and how they are listed.
const TABLES: [(&str, &[&str]); 2] = [
    ("ip", &["--json", "--handle", "list", "table", "ip", "filter"]),
    ("ip6", &["--json", "--handle", "list", "table", "ip6", "filter"]),
];
/// Our rules are those with this comment.
const MARK: &str = "netctl: as table inet netctl says";
/// What our devices are called.
const OURS: &str = "nh-*";

/// What is known of our rules in tables of others.
#[derive(Debug, Default)]
pub(super) struct Passage {
    /// Whether they were needed when they were last found to be right.
    settled: Option<bool>,
}

impl Passage {
    /// Has the next look be one at the kernel.
    pub(super) fn doubt(&mut self) {
        self.settled = None;
    }

    /// Whether some may stand in the kernel, as far as is known.
    pub(super) fn may_stand(&self) -> bool {
        self.settled != Some(false)
    }

    /// Has our rules be where they are needed, and nowhere where they are not.
    pub(super) async fn settle(
        &mut self,
        netns: &Netns,
        needed: bool,
    ) -> Result<(), kernel::Error> {
        if self.settled == Some(needed) {
            return Ok(());
        }
        let script = changes(netns, needed).await?;
        if !script.is_empty() {
            tracing::debug!(script, "nftables of others");
            netns.nft_change(script).await?;
        }
        self.settled = Some(needed);
        Ok(())
    }
}

/// What would have our rules be where they are needed.
pub(super) async fn lacking(netns: &Netns) -> Result<String, kernel::Error> {
    changes(netns, true).await
}

/// Takes ours away; whether there were any.
pub(super) async fn remove(netns: &Netns) -> Result<bool, kernel::Error> {
    let script = changes(netns, false).await?;
    let any = !script.is_empty();
    if any {
        netns.nft_change(script).await?;
    }
    Ok(any)
}

async fn changes(netns: &Netns, needed: bool) -> Result<String, kernel::Error> {
    let mut script = String::new();
    for (family, list) in TABLES {
        let listed = netns.nft_list(list).await?;
        script += &change(family, listed.as_deref().unwrap_or_default(), needed);
    }
    Ok(script)
}

/// One of our rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rule {
    from: Option<String>,
    to: Option<String>,
    accepts: bool,
}

impl Rule {
    /// The rules that are needed where these bridges are Docker's, which lets through to them what it publishes and
    /// nothing else.
    fn needed(bridges: &BTreeSet<String>) -> Vec<Self> {
        let ours = || Some(OURS.to_owned());
        let mut rules: Vec<Self> = bridges
            .iter()
            .map(|bridge| Self { from: ours(), to: Some(bridge.clone()), accepts: false })
            .collect();
        rules.push(Self { from: ours(), to: None, accepts: true });
        rules.push(Self { from: None, to: ours(), accepts: true });
        rules
    }

    /// Reads one as `nft --json` prints it.
    fn read(rule: &Value) -> Self {
        let mut read = Self::default();
        for expression in rule["expr"].as_array().into_iter().flatten() {
            read.accepts |= expression.get("accept").is_some();
            match meta(expression) {
                Some(("iifname", name)) => read.from = Some(name.to_owned()),
                Some(("oifname", name)) => read.to = Some(name.to_owned()),
                _ => {}
            }
        }
        read
    }

    fn write(&self, script: &mut String, family: &str) {
        let mut line = format!("add rule {family} filter FORWARD");
        for (key, name) in [("iifname", &self.from), ("oifname", &self.to)] {
            if let Some(name) = name {
                write!(line, " {key} \"{name}\"").expect("a text can be written to");
            }
        }
        let verdict = if self.accepts { "accept" } else { "return" };
        writeln!(script, "{line} counter {verdict} comment \"{MARK}\"")
            .expect("a text can be written to");
    }
}

/// What an expression says of a device's name, where it says that it is one.
fn meta(expression: &Value) -> Option<(&str, &str)> {
    let said = &expression["match"];
    let is = said["op"] == "==";
    let key = said.pointer("/left/meta/key")?.as_str()?;
    Some((key, said["right"].as_str()?)).filter(|_| is)
}

/// What has the table hold our rules or not, where `listed` is what `nft` prints of it.
fn change(family: &str, listed: &str, needed: bool) -> String {
    let listed: Value = serde_json::from_str(listed).unwrap_or_default();
    let of_kind = |kind| {
        let all = listed["nftables"].as_array().into_iter().flatten();
        all.filter_map(move |object| object.get(kind))
    };
    let drops = of_kind("chain").any(|chain| {
        chain["name"] == "FORWARD" && chain["hook"] == "forward" && chain["policy"] == "drop"
    });
    let standing: Vec<&Value> = of_kind("rule").filter(|rule| rule["comment"] == MARK).collect();
    let wanted = if needed && drops {
        Rule::needed(&of_kind("rule").filter_map(bridge).collect())
    } else {
        Vec::new()
    };
    let mut script = String::new();
    if standing.iter().map(|rule| Rule::read(rule)).eq(wanted.iter().cloned()) {
        return script;
    }
    for rule in standing {
        if let (Some(chain), Some(handle)) = (rule["chain"].as_str(), rule["handle"].as_u64()) {
            writeln!(script, "delete rule {family} filter {chain} handle {handle}")
                .expect("a text can be written to");
        }
    }
    for rule in wanted {
        rule.write(&mut script, family);
    }
    script
}

/// The bridge that a rule of Docker's is about by which it lets through to it what is published.
fn bridge(rule: &Value) -> Option<String> {
    let expressions = rule["expr"].as_array()?;
    let docker = |expression: &Value| {
        expression.pointer("/jump/target").is_some_and(|target| target == "DOCKER")
    };
    expressions.iter().any(docker).then_some(())?;
    let mut names = expressions.iter().filter_map(meta);
    names.find_map(|(key, name)| (key == "oifname").then(|| name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As nft 1.0.6 prints it, of what Docker 20.10 has made.
    fn listed(policy: &str, further: &str) -> String {
        let chain = format!(
            r#"{{"chain": {{"family": "ip", "table": "filter", "name": "FORWARD", "handle": 3,
                "type": "filter", "hook": "forward", "prio": 0, "policy": "{policy}"}}}}"#
        );
        let docker = r#"{"rule": {"family": "ip", "table": "filter", "chain": "FORWARD", "handle": 9, "expr": [
            {"match": {"op": "==", "left": {"meta": {"key": "oifname"}}, "right": "docker0"}},
            {"counter": {"packets": 0, "bytes": 0}}, {"jump": {"target": "DOCKER"}}]}},
            {"rule": {"family": "ip", "table": "filter", "chain": "FORWARD", "handle": 10, "expr": [
            {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "docker0"}},
            {"match": {"op": "!=", "left": {"meta": {"key": "oifname"}}, "right": "docker0"}},
            {"counter": {"packets": 0, "bytes": 0}}, {"accept": null}]}}"#;
        format!(r#"{{"nftables": [{{"metainfo": {{}}}}, {chain}, {docker}{further}]}}"#)
    }

    fn ours(handle: u32, matches: &[(&str, &str)], verdict: &str) -> String {
        let one = |(key, name): &(&str, &str)| {
            format!(
                r#"{{"match": {{"op": "==", "left": {{"meta": {{"key": "{key}"}}}}, "right": "{name}"}}}},"#
            )
        };
        let matches = matches.iter().map(one).collect::<Vec<_>>().concat();
        format!(
            r#", {{"rule": {{"chain": "FORWARD", "handle": {handle}, "comment": "{MARK}", "expr": [
            {matches} {{"counter": {{"packets": 7, "bytes": 9}}}}, {{"{verdict}": null}}]}}}}"#
        )
    }

    #[test]
    fn what_a_policy_drops_is_let_through_and_nothing_else() {
        let whole = "add rule ip filter FORWARD iifname \"nh-*\" oifname \"docker0\" counter return comment \"MARK\"\n\
             add rule ip filter FORWARD iifname \"nh-*\" counter accept comment \"MARK\"\n\
             add rule ip filter FORWARD oifname \"nh-*\" counter accept comment \"MARK\"\n"
            .replace("MARK", MARK);
        assert_eq!(change("ip", &listed("drop", ""), true), whole);
        for (policy, needed) in [("accept", true), ("accept", false), ("drop", false)] {
            assert_eq!(change("ip", &listed(policy, ""), needed), "", "{policy} {needed}");
        }
        assert_eq!(change("ip", "", true), "");

        let standing = ours(20, &[("iifname", OURS), ("oifname", "docker0")], "return")
            + &ours(21, &[("iifname", OURS)], "accept")
            + &ours(22, &[("oifname", OURS)], "accept");
        assert_eq!(change("ip", &listed("drop", &standing), true), "");
        let gone = "delete rule ip filter FORWARD handle 20\n\
                    delete rule ip filter FORWARD handle 21\n\
                    delete rule ip filter FORWARD handle 22\n";
        for (policy, needed) in [("accept", true), ("accept", false), ("drop", false)] {
            assert_eq!(change("ip", &listed(policy, &standing), needed), gone);
        }
        // What is not as it was made is made anew, all of it.
        let damaged = ours(21, &[("iifname", OURS)], "accept");
        let mended = "delete rule ip filter FORWARD handle 21\n".to_owned() + &whole;
        assert_eq!(change("ip", &listed("drop", &damaged), true), mended);
    }
}
