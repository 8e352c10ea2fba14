//! Prometheus' text format, version 0.0.4, and the description of the families that are written in it.
//!
//! Written here and not by a library, since names that dashboards of ingress-nginx ask for are not those that libraries let through
//! (counters without `_total`).

use std::fmt::{self, Display, Write};

/// The media type of what [`Exposition`] writes.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Text is handed on in pieces of about this many bytes, where it is handed on at all.
const PIECE: usize = 64 * 1024;

/// Takes a piece of text; `false` is that nobody wants any more.
pub type Sink = Box<dyn FnMut(String) -> bool + Send>;

/// The value of every label of a series that stands for those beyond the limit.
pub const OVERFLOW: &str = "_overflow";

/// A metric family: what documentation and `/metrics` say of it.
#[derive(Debug)]
pub struct Family {
    /// Its whole name.
    pub name: &'static str,
    /// Its type.
    pub kind: FamilyKind,
    /// The names of its labels, in the order in which values are given.
    pub labels: &'static [&'static str],
    /// What the value is counted in.
    pub unit: Unit,
    /// What it means, in one sentence without a full stop.
    pub help: &'static str,
    /// How many series it can have.
    pub series: Growth,
}

impl Family {
    /// Makes a family of one series, without labels.
    #[must_use]
    pub const fn single(name: &'static str, kind: FamilyKind, unit: Unit, help: &'static str) -> Self {
        Self { name, kind, labels: &[], unit, help, series: Growth::Fixed(1) }
    }
}

/// The type of a family, as Prometheus knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FamilyKind {
    /// Only grows, until the process ends.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by upper bound, with their sum.
    Histogram,
    /// A sum with its count; no quantiles.
    Summary,
}

/// What a value is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things that the name says.
    One,
    /// Seconds.
    Seconds,
    /// Seconds since 1970, UTC.
    UnixSeconds,
    /// Bytes.
    Bytes,
}

/// How many series a family can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// At most so many, whatever is served.
    Fixed(usize),
    /// So many for each route, method and status that was seen.
    Requests(usize),
    /// So many for each certificate and server name.
    Certificates(usize),
    /// So many for each Ingress that lacks a Service or endpoints.
    Orphans(usize),
}

impl FamilyKind {
    /// Returns the type as Prometheus writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
        }
    }
}

impl Unit {
    /// Returns the unit as documentation writes it; empty where the name says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::One => "",
            Self::Seconds => "seconds",
            Self::UnixSeconds => "seconds since 1970",
            Self::Bytes => "bytes",
        }
    }
}

/// The text of an answer to Prometheus, as it grows.
#[derive(Default)]
pub struct Exposition {
    text: String,
    /// `name="value",` of labels that some families have besides their own.
    shared: String,
    /// Where pieces go; `None` keeps all.
    sink: Option<Sink>,
}

impl fmt::Debug for Exposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exposition").field("bytes", &self.text.len()).finish_non_exhaustive()
    }
}

impl Exposition {
    /// Starts an empty text. [`Exposition::shared_family`] puts `shared` (names and values) on each of its samples.
    #[must_use]
    pub fn new(shared: &[(&str, &str)]) -> Self {
        let mut text = String::new();
        for (name, value) in shared {
            // Writing to memory cannot fail, here and below.
            let _ = write!(text, "{name}=\"{}\",", Escaped(value));
        }
        Self { text: String::new(), shared: text, sink: None }
    }

    /// Hands the text on in pieces, so that it is never held as a whole. [`Exposition::finish`] hands on the last one.
    #[must_use]
    pub fn in_pieces(self, sink: Sink) -> Self {
        Self { sink: Some(sink), ..self }
    }

    /// Hands on what has not been yet.
    pub fn finish(mut self) {
        self.hand_on();
    }

    fn hand_on(&mut self) {
        if let Some(sink) = &mut self.sink {
            let piece = std::mem::replace(&mut self.text, String::with_capacity(PIECE + PIECE / 8));
            if !sink(piece) {
                // What follows is for nobody, and goes as it comes.
                self.sink = Some(Box::new(|_| true));
            }
        }
    }

    /// Begins a family. All samples of it follow at once.
    pub fn family(&mut self, family: &'static Family) -> Samples<'_> {
        head(&mut self.text, family);
        Samples { out: self, family, shared: false }
    }

    /// Begins a family whose samples have the shared labels as well.
    pub fn shared_family(&mut self, family: &'static Family) -> Samples<'_> {
        head(&mut self.text, family);
        Samples { out: self, family, shared: true }
    }

    /// Returns the text, or what of it has not been handed on.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }
}

fn head(text: &mut String, family: &Family) {
    let Family { name, kind, help, .. } = family;
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {}", kind.as_str());
}

/// Writes the samples of one family.
#[derive(Debug)]
pub struct Samples<'a> {
    out: &'a mut Exposition,
    family: &'static Family,
    /// Whether the shared labels come first.
    shared: bool,
}

impl Samples<'_> {
    /// Writes a sample. `labels` are the values of the family's labels, in order; those that are missing at the end are left out.
    pub fn sample(&mut self, labels: &[&str], value: impl Display) -> &mut Self {
        self.line("", labels, None, value);
        self
    }

    /// Writes a histogram: `counts` are those of each bound alone, and last of what is beyond all.
    pub fn histogram(&mut self, labels: &[&str], bounds: &[f64], counts: &[u64], sum: impl Display) {
        let mut total = 0;
        let mut bounds = bounds.iter();
        for count in counts {
            total += count;
            match bounds.next() {
                Some(bound) => self.line("_bucket", labels, Some(bound), total),
                None => self.line("_bucket", labels, Some(&"+Inf"), total),
            }
        }
        self.summary(labels, sum, total);
    }

    /// Writes a sum and of how many it is.
    pub fn summary(&mut self, labels: &[&str], sum: impl Display, count: u64) {
        self.line("_sum", labels, None, sum);
        self.line("_count", labels, None, count);
    }

    fn line(&mut self, suffix: &str, labels: &[&str], bound: Option<&dyn Display>, value: impl Display) {
        let Self { out, family, .. } = self;
        let Exposition { text, shared, .. } = &mut **out;
        text.push_str(family.name);
        text.push_str(suffix);
        let start = text.len();
        text.push('{');
        if self.shared {
            text.push_str(shared);
        }
        for (name, value) in family.labels.iter().zip(labels) {
            let _ = write!(text, "{name}=\"{}\",", Escaped(value));
        }
        if let Some(bound) = bound {
            let _ = write!(text, "le=\"{bound}\",");
        }
        // The last comma, or the brace that nothing followed.
        text.pop();
        if text.len() > start {
            text.push('}');
        }
        let _ = writeln!(text, " {value}");
        if text.len() >= PIECE {
            self.out.hand_on();
        }
    }
}

/// A label's value with what would end it escaped.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.contains(['\\', '"', '\n']) {
            return f.write_str(self.0);
        }
        self.0.chars().try_for_each(|letter| match letter {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            _ => f.write_char(letter),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static WAITS: Family = Family {
        name: "test_wait_seconds",
        kind: FamilyKind::Histogram,
        labels: &["path"],
        unit: Unit::Seconds,
        help: "Waits",
        series: Growth::Fixed(5),
    };
    static TOOK: Family = Family { name: "test_took_seconds", kind: FamilyKind::Summary, help: "Took", ..WAITS };
    static OPEN: Family =
        Family { name: "test_open", kind: FamilyKind::Gauge, labels: &["path"], unit: Unit::One, help: "Open", series: Growth::Fixed(1) };

    #[test]
    fn a_family_is_written_as_prometheus_reads_it() {
        let mut out = Exposition::new(&[("pod", "p")]);
        out.family(&WAITS).histogram(&["/a"], &[0.5, 1.0], &[1, 0, 2], 7.25);
        out.family(&TOOK).summary(&["/a"], 7.25, 3);
        out.shared_family(&OPEN).sample(&["/"], 3);
        out.family(&OPEN).sample(&[], 4);
        let wanted = "\
# HELP test_wait_seconds Waits
# TYPE test_wait_seconds histogram
test_wait_seconds_bucket{path=\"/a\",le=\"0.5\"} 1
test_wait_seconds_bucket{path=\"/a\",le=\"1\"} 1
test_wait_seconds_bucket{path=\"/a\",le=\"+Inf\"} 3
test_wait_seconds_sum{path=\"/a\"} 7.25
test_wait_seconds_count{path=\"/a\"} 3
# HELP test_took_seconds Took
# TYPE test_took_seconds summary
test_took_seconds_sum{path=\"/a\"} 7.25
test_took_seconds_count{path=\"/a\"} 3
# HELP test_open Open
# TYPE test_open gauge
test_open{pod=\"p\",path=\"/\"} 3
# HELP test_open Open
# TYPE test_open gauge
test_open 4
";
        assert_eq!(out.into_text(), wanted);
    }

    #[test]
    fn a_long_text_is_handed_on_in_pieces_until_nobody_wants_more() {
        let write = |mut out: Exposition| {
            let mut samples = out.family(&OPEN);
            for number in 0..50_000 {
                samples.sample(&[&number.to_string()], 1);
            }
            out
        };
        let whole = write(Exposition::default()).into_text();
        for wanted in [2, usize::MAX] {
            let (sender, pieces) = std::sync::mpsc::channel();
            let mut left = wanted;
            let sink = move |piece| {
                left -= 1;
                sender.send(piece).is_ok() && left > 0
            };
            write(Exposition::default().in_pieces(Box::new(sink))).finish();
            let pieces: Vec<String> = pieces.iter().collect();
            assert!(pieces.len() > 1 && pieces.iter().all(|piece| piece.len() < 2 * PIECE), "{}", pieces.len());
            assert_eq!(pieces.len() == wanted, wanted == 2);
            let text = pieces.concat();
            assert!(whole.starts_with(&text) && (text.len() == whole.len()) != (wanted == 2), "{} of {}", text.len(), whole.len());
        }
    }

    #[test]
    fn no_value_of_a_label_ends_it() {
        let mut out = Exposition::default();
        out.family(&OPEN).sample(&["a\"} 1\n\\"], 1);
        assert!(out.into_text().ends_with("test_open{path=\"a\\\"} 1\\n\\\\\"} 1\n"));
    }
}
