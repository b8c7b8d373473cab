//! `netctl counters`.

use super::{Context, Result, table::Table};
use crate::model::CounterView;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Show also what has not been counted yet
    #[arg(short, long)]
    all: bool,
}

impl Args {
    pub(super) async fn run(self, Context { client, output }: &Context) -> Result {
        let counters = wanted(client.counters().await?, self.all);
        output.show(&*counters, |counters| output.paint(table(counters)))
    }
}

fn wanted(mut counters: Vec<CounterView>, all: bool) -> Vec<CounterView> {
    counters.retain(|counter| all || counter.packets > 0);
    counters
}

fn table(counters: &[CounterView]) -> Table {
    let mut table = Table::new(["PROGRAM", "COUNTER", "DROP", "PACKETS", "BYTES", "MEANING"]);
    for counter in counters {
        table.row([
            counter.program.clone(),
            counter.counter.clone(),
            if counter.drop { "drop" } else { "" }.to_owned(),
            counter.packets.to_string(),
            counter.bytes.to_string(),
            counter.description.clone(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(name: &str, drop: bool, packets: u64) -> CounterView {
        CounterView {
            program: "from-container".to_owned(),
            counter: name.to_owned(),
            description: format!("packets {name}"),
            drop,
            packets,
            bytes: packets * 100,
        }
    }

    #[test]
    fn zeros_are_hidden_unless_asked_for() {
        let counters = vec![counter("to-container", false, 7), counter("no-tunnel-key", true, 0)];
        assert_eq!(
            table(&wanted(counters.clone(), false)).to_string(),
            "PROGRAM          COUNTER        DROP   PACKETS   BYTES   MEANING\n\
             from-container   to-container                7     700   packets to-container\n"
        );
        assert_eq!(wanted(counters.clone(), true), counters);
    }
}
