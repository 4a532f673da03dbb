//! Random series: counters, gauges, classic histograms, native histograms of every kind, and mixtures.

use serde_json::{Value as Json, json};

use crate::random::Random;

/// Series as the oracle takes them, and the times they cover in milliseconds.
pub(crate) struct Data {
    pub(crate) series: Vec<Json>,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) interval: i64,
}

const STALE: &str = "0x7ff0000000000002";
const SPECIAL: &[f64] =
    &[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1e308, -1e308, 1e15, 0.1, 1e100, -1e100];

fn text(value: f64) -> Json {
    if value.is_nan() { json!("NaN") } else { json!(format!("0x{:016x}", value.to_bits())) }
}

/// How the series of one data set are sampled.
struct Shape {
    start: i64,
    samples: i64,
    interval: i64,
    start_times: bool,
}

impl Shape {
    fn times(&self, random: &mut Random) -> Vec<i64> {
        let jitter = random.chance(40);
        let first = self.start + if random.chance(30) { random.between(0, self.interval) } else { 0 };
        let mut times: Vec<i64> = Vec::new();
        let mut time = first;
        for _ in 0..self.samples {
            if random.chance(5) {
                time += self.interval * random.between(1, 12);
            }
            let at = time + if jitter { random.between(-self.interval / 4, self.interval / 4) } else { 0 };
            if random.chance(95) && times.last().is_none_or(|last| *last < at) {
                times.push(at);
            }
            time += self.interval;
        }
        if times.is_empty() {
            times.push(first);
        }
        match random.below(20) {
            0 => times.truncate(1),
            1 => times.truncate(2),
            2 | 3 => times = times.split_off(times.len() / 2),
            _ => {}
        }
        times
    }

    /// A sample, with the start time that a counter has carried on or begun anew.
    fn sample(&self, random: &mut Random, time: i64, value: Json, start: i64) -> Json {
        if self.start_times && random.chance(90) {
            json!([time, value, start.max(0)])
        } else {
            json!([time, value])
        }
    }

    fn counter(&self, random: &mut Random) -> Vec<Json> {
        let mut value = random.number(&[0.0, 5.0, 100.5]);
        let step = random.number(&[1.0, 3.0, 0.1, 1e6]);
        let resets = random.next() % 15;
        let mut start = self.start - 1000;
        let mut samples = Vec::new();
        for time in self.times(random) {
            if random.chance(3) {
                samples.push(json!([time, STALE]));
                continue;
            }
            if random.chance(resets) {
                value = random.number(&[0.0, 1.0, value / 2.0]);
                start = time - random.between(0, self.interval);
            } else {
                value += step * random.number(&[0.0, 1.0, 0.37, 4.0]);
            }
            samples.push(self.sample(random, time, text(value), start));
        }
        samples
    }

    fn gauge(&self, random: &mut Random) -> Vec<Json> {
        let specials = random.next() % 15;
        let mut samples = Vec::new();
        for time in self.times(random) {
            let value = match random.chance(specials) {
                true => random.number(SPECIAL),
                false => random.between(-3000, 3000) as f64 / random.number(&[1.0, 1000.0, 7.0]),
            };
            samples.push(json!([time, if random.chance(3) { json!(STALE) } else { text(value) }]));
        }
        samples
    }

    fn native(&self, random: &mut Random, kind: Kind) -> Vec<Json> {
        let mut layout = Layout::new(random, kind);
        let mut counts = layout.empty();
        let resets = random.next() % 12;
        let (changes, floats) =
            (if random.chance(30) { 6 } else { 0 }, if kind == Kind::Mixed { 12 } else { 0 });
        let nan = random.chance(8);
        let mut start = self.start - 1000;
        let mut samples = Vec::new();
        for time in self.times(random) {
            if random.chance(3) {
                samples.push(json!([time, STALE]));
                continue;
            }
            if random.chance(floats) {
                let value = f64::from(u8::try_from(random.below(100)).unwrap());
                samples.push(json!([time, text(value)]));
                continue;
            }
            if random.chance(changes) {
                layout = layout.changed(random, kind);
                counts = layout.empty();
            } else if random.chance(resets) {
                counts = layout.empty();
                start = time - random.between(0, self.interval);
            }
            for count in &mut counts {
                let more = random.number(&[0.0, 0.0, 1.0, 2.0, 0.1, 17.0]);
                *count = if kind == Kind::Gauge { more } else { *count + more };
            }
            let value = layout.histogram(random, &counts, nan, kind);
            samples.push(self.sample(random, time, value, start));
        }
        samples
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Exponential,
    Custom,
    Gauge,
    /// Exponential or custom, with floats between.
    Mixed,
}

/// The buckets of a histogram. All are written, empty ones too: what the chunks of Prometheus's storage would otherwise add to
/// it depends on when they are full.
struct Layout {
    schema: i64,
    threshold: f64,
    bounds: Vec<f64>,
    positive: Vec<(i64, usize)>,
    negative: Vec<(i64, usize)>,
}

impl Layout {
    fn new(random: &mut Random, kind: Kind) -> Self {
        let spans = |random: &mut Random, around: i64| {
            let mut spans = vec![(random.between(-around, around), 1 + random.below(5))];
            if random.chance(40) {
                spans.push((random.between(1, 4), 1 + random.below(3)));
            }
            spans
        };
        if kind == Kind::Custom || (kind == Kind::Mixed && random.chance(30)) {
            let all: &[&[f64]] =
                &[&[0.1, 0.5, 1.0, 5.0], &[0.1, 1.0, 10.0], &[-5.0, 0.0, 5.0], &[1.0], &[], &[-2.0, -1.0]];
            let bounds = random.pick(all).to_vec();
            let skipped = random.below(2).min(bounds.len());
            let positive = vec![(skipped as i64, bounds.len() + 1 - skipped)];
            return Self { schema: -53, threshold: 0.0, bounds, positive, negative: Vec::new() };
        }
        let schema = random.number(&[0.0, 0.0, 1.0, 1.0, 2.0, 3.0, 8.0, -1.0, -4.0]);
        let threshold = random.number(&[0.0, 0.001, 0.001, 0.25, 1.0, 0.3]);
        // A bucket inside the zero bucket would be kept or not by the order in which histograms are added.
        let outside = (threshold.log2() * schema.exp2()).floor() as i64 + 1;
        let side = |random: &mut Random, percent: u64| {
            let mut spans = if random.chance(percent) { spans(random, 4) } else { Vec::new() };
            if let Some(first) = spans.first_mut().filter(|_| threshold > 0.0) {
                first.0 = first.0.max(outside);
            }
            spans
        };
        let (positive, negative) = (side(random, 85), side(random, 35));
        Self { schema: schema as i64, threshold, bounds: Vec::new(), positive, negative }
    }

    /// A layout that shares no chunk with this one.
    fn changed(&self, random: &mut Random, kind: Kind) -> Self {
        loop {
            let other = Self::new(random, kind);
            if (other.schema, other.threshold) != (self.schema, self.threshold) || other.bounds != self.bounds
            {
                return other;
            }
        }
    }

    fn buckets(spans: &[(i64, usize)]) -> usize {
        spans.iter().map(|(_, length)| length).sum()
    }

    /// Counts of the buckets of both sides, and of the zero bucket.
    fn empty(&self) -> Vec<f64> {
        vec![0.0; Self::buckets(&self.positive) + Self::buckets(&self.negative) + 1]
    }

    fn histogram(&self, random: &mut Random, counts: &[f64], nan: bool, kind: Kind) -> Json {
        let positive = Self::buckets(&self.positive);
        let negative = positive + Self::buckets(&self.negative);
        let zero = if self.schema == -53 { 0.0 } else { counts[negative] };
        let total: f64 = counts[..negative].iter().sum::<f64>() + zero;
        let numbers = |counts: &[f64]| counts.iter().map(|count| text(*count)).collect::<Vec<_>>();
        let hint = match kind {
            Kind::Gauge => "gauge",
            _ => random.pick(&["unknown", "unknown", "not_reset", "reset"]),
        };
        let sum = if nan { f64::NAN } else { total * random.number(&[1.5, 0.1, -2.0]) };
        json!({
            "schema": self.schema,
            "count": text(total + if nan { 3.0 } else { 0.0 }),
            "sum": text(sum),
            "zero_threshold": text(self.threshold),
            "zero_count": text(zero),
            "positive_spans": self.positive,
            "positive_buckets": numbers(&counts[..positive]),
            "negative_spans": self.negative,
            "negative_buckets": numbers(&counts[positive..negative]),
            "custom_values": numbers(&self.bounds),
            "hint": hint,
        })
    }
}

pub(crate) fn generate(random: &mut Random) -> Data {
    let interval = [5_000, 15_000, 30_000, 60_000, 1_000][random.below(5)];
    // Jitter stays behind 1970, before which a difference is known.
    let start = [interval, 1_700_000_000_000, 1_000_000, 1_699_999_999_137][random.below(4)];
    let samples = [8, 12, 30][random.below(3)];
    let shape = Shape { start, samples, interval, start_times: random.chance(35) };
    let mut series = Vec::new();
    let mut add =
        |labels: Json, samples: Vec<Json>| series.push(json!({"labels": labels, "samples": samples}));
    for job in ["api", "web"] {
        for instance in ["a:1", "b:1", "c:1"] {
            for code in ["200", "500"] {
                if random.chance(70) {
                    let labels =
                        json!({"__name__": "reqs_total", "code": code, "instance": instance, "job": job});
                    add(labels, shape.counter(random));
                }
            }
            let labels = |name: &str| json!({"__name__": name, "instance": instance, "job": job});
            if random.chance(85) {
                add(labels("g"), shape.gauge(random));
            }
            for (name, kind) in
                [("h", Kind::Exponential), ("hc", Kind::Custom), ("hg", Kind::Gauge), ("hm", Kind::Mixed)]
            {
                if random.chance(80) {
                    add(labels(name), shape.native(random, kind));
                }
            }
            if random.chance(60) {
                for (place, bound) in (1_u32..).zip(["0.1", "0.5", "1", "+Inf"]) {
                    let times = (0..shape.samples).map(|i| shape.start + i * shape.interval);
                    let rows =
                        times.zip(0_u32..).map(|(time, row)| json!([time, text(f64::from(row * place))]));
                    let labels = json!({"__name__": "h", "instance": instance, "job": job, "le": bound});
                    add(labels, rows.collect());
                }
            }
        }
        add(json!({"__name__": "lim", "job": job}), shape.gauge(random));
    }
    let key = |series: &Json| {
        let labels = series["labels"].as_object().unwrap();
        let mut pairs: Vec<_> =
            labels.iter().map(|(n, v)| (n.clone(), v.as_str().unwrap().to_owned())).collect();
        pairs.sort();
        pairs
    };
    series.sort_by_key(key);
    Data { series, start, end: start + samples * interval, interval }
}
