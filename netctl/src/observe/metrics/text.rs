//! The text format of Prometheus, version 0.0.4.
//!
//! The crates for it keep counts of their own, where most of ours are the kernel's, and write the younger format of
//! `OpenMetrics`, in which older readers find counters without their type.

use std::{
    fmt::{Display, Write as _},
    time::Duration,
};

use crate::counts::Distribution;

/// What a family of series is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only rises, and begins at 0 again with the process or the thing that it is about.
    Counter,
    /// It rises and falls.
    Gauge,
    /// How often something took how long.
    Histogram,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// The labels of a series: names that are known here, values that may be anything.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// A text that grows by families.
#[derive(Debug, Default)]
pub(super) struct Text(String);

/// A family whose series are being written.
pub(super) struct Family<'a> {
    text: &'a mut String,
    name: &'a str,
}

impl Text {
    /// Begins a family; `help` is one sentence.
    pub(super) fn family<'a>(&'a mut self, name: &'a str, kind: Kind, help: &str) -> Family<'a> {
        let kind = kind.as_str();
        write(&mut self.0, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        Family { text: &mut self.0, name }
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

impl Family<'_> {
    /// A series with its value.
    pub(super) fn value(&mut self, labels: Labels<'_>, value: impl Display) -> &mut Self {
        self.sample("", labels, None, value)
    }

    /// The series of a histogram.
    pub(super) fn distribution(&mut self, labels: Labels<'_>, of: &Distribution) -> &mut Self {
        for (bound, count) in &of.buckets {
            self.sample("_bucket", labels, Some(&seconds(*bound).to_string()), count);
        }
        self.sample("_bucket", labels, Some("+Inf"), of.count);
        self.sample("_sum", labels, None, seconds(of.sum));
        self.sample("_count", labels, None, of.count)
    }

    fn sample(
        &mut self,
        suffix: &str,
        labels: Labels<'_>,
        bound: Option<&str>,
        value: impl Display,
    ) -> &mut Self {
        let name = self.name;
        write(self.text, format_args!("{name}{suffix}"));
        let labels = labels.iter().copied().chain(bound.map(|bound| ("le", bound)));
        let mut before = '{';
        for (label, value) in labels {
            write(self.text, format_args!("{before}{label}=\""));
            escape(self.text, value);
            self.text.push('"');
            before = ',';
        }
        if before == ',' {
            self.text.push('}');
        }
        write(self.text, format_args!(" {value}\n"));
        self
    }
}

/// The base unit of all times.
pub(super) fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

fn write(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("a string takes all that is written");
}

fn escape(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_written_as_the_format_says() {
        let mut text = Text::default();
        text.family("netctl_things_total", Kind::Counter, "Things that were seen.")
            .value(&[("network", "dev"), ("odd", "a\"b\\c\nd ö")], 7)
            .value(&[], 0.25);
        assert_eq!(
            text.finish(),
            "# HELP netctl_things_total Things that were seen.\n\
             # TYPE netctl_things_total counter\n\
             netctl_things_total{network=\"dev\",odd=\"a\\\"b\\\\c\\nd ö\"} 7\n\
             netctl_things_total 0.25\n"
        );
    }

    #[test]
    fn a_histogram_has_its_buckets_sum_and_count() {
        let of = Distribution {
            buckets: vec![(Duration::from_micros(500), 1), (Duration::from_secs(1), 3)],
            count: 4,
            sum: Duration::from_millis(2_500),
        };
        let mut text = Text::default();
        text.family("netctl_wait_seconds", Kind::Histogram, "Waits.")
            .distribution(&[("verb", "get")], &of);
        assert_eq!(
            text.finish(),
            "# HELP netctl_wait_seconds Waits.\n\
             # TYPE netctl_wait_seconds histogram\n\
             netctl_wait_seconds_bucket{verb=\"get\",le=\"0.0005\"} 1\n\
             netctl_wait_seconds_bucket{verb=\"get\",le=\"1\"} 3\n\
             netctl_wait_seconds_bucket{verb=\"get\",le=\"+Inf\"} 4\n\
             netctl_wait_seconds_sum{verb=\"get\"} 2.5\n\
             netctl_wait_seconds_count{verb=\"get\"} 4\n"
        );
    }
}
