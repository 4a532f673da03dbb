//! Random queries over the names and labels of [`crate::series`].

use crate::random::Random;

pub(crate) struct Writer<'a> {
    pub(crate) random: &'a mut Random,
    /// The times that `@` may name, in milliseconds.
    pub(crate) start: i64,
    pub(crate) end: i64,
}

const NAMES: &[&str] =
    &["h", "h", "h", "hc", "hc", "hg", "hg", "hm", "hm", "reqs_total", "reqs_total", "g", "lim", "zzz"];
const DURATIONS: &[&str] = &["15s", "30s", "1m", "2m", "5m", "10m", "1h", "59999ms", "7s", "1ms"];
const NUMBERS: &[&str] =
    &["0", "1", "2", "-1", "0.5", "1e3", "NaN", "Inf", "-Inf", "3", "0.1", "-0", "2.5", "0.25", "-0.5"];
const LABELS: &[&str] = &["job", "instance", "code", "le", "__name__", "nope"];
const OF_VECTOR: &[&str] = &[
    "abs",
    "ceil",
    "sgn",
    "sqrt",
    "timestamp",
    "sort",
    "sort_desc",
    "absent",
    "histogram_count",
    "histogram_count",
    "histogram_sum",
    "histogram_sum",
    "histogram_avg",
    "histogram_stddev",
    "histogram_stdvar",
    "log2",
    "ln",
    "log10",
    "start_timestamp",
    "day_of_week",
];
const OF_RANGE: &[&str] = &[
    "avg_over_time",
    "avg_over_time",
    "sum_over_time",
    "sum_over_time",
    "min_over_time",
    "max_over_time",
    "count_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "last_over_time",
    "first_over_time",
    "present_over_time",
    "absent_over_time",
    "mad_over_time",
    "ts_of_first_over_time",
    "ts_of_last_over_time",
    "ts_of_max_over_time",
    "changes",
    "changes",
    "resets",
    "resets",
    "deriv",
    "idelta",
    "idelta",
    "irate",
    "irate",
    "delta",
    "delta",
    "increase",
    "increase",
    "rate",
    "rate",
    "rate",
];
/// What takes `anchored` and `smoothed`.
const EXTENDED: &[&str] = &["rate", "increase", "delta", "changes", "resets"];

impl Writer<'_> {
    fn pick<'t>(&mut self, from: &[&'t str]) -> &'t str {
        self.random.pick(from)
    }

    pub(crate) fn query(&mut self) -> String {
        let depth = 1 + self.random.below(3);
        match self.random.below(20) {
            0 => self.scalar(depth),
            1 => self.range(depth, false),
            _ => self.vector(depth),
        }
    }

    fn labels(&mut self, most: usize) -> String {
        let count = self.random.below(most + 1);
        (0..count).map(|_| self.pick(LABELS)).collect::<Vec<_>>().join(",")
    }

    fn selector(&mut self) -> String {
        let name = self.pick(NAMES);
        match self.random.below(10) {
            0 => format!("{name}{{job=\"api\"}}"),
            1 => format!("{name}{{instance=~\"a.*|b.*\"}}"),
            2 => format!("{name}{{le=\"\"}}"),
            3 => format!("{{__name__=~\"h|hg\",job=\"{}\"}}", self.pick(&["api", "web"])),
            _ => name.to_owned(),
        }
    }

    fn modifiers(&mut self) -> String {
        let mut out = String::new();
        if self.random.chance(10) {
            out.push_str(" offset ");
            out.push_str(self.pick(&["1m", "-1m", "30s", "5m", "-15s", "1ms"]));
        } else if self.random.chance(7) {
            let at = self.random.between(self.start, self.end + 60_000) as f64 / 1000.0;
            out = match self.random.below(3) {
                0 => " @ start()".to_owned(),
                1 => " @ end()".to_owned(),
                _ => format!(" @ {at:.3}"),
            };
        }
        out
    }

    fn instant_selector(&mut self) -> String {
        let selector = self.selector();
        let extension = if self.random.chance(6) { " smoothed" } else { "" };
        format!("{selector}{extension}{}", self.modifiers())
    }

    fn range(&mut self, depth: usize, extended: bool) -> String {
        let window = self.pick(DURATIONS);
        if depth == 0 || self.random.chance(75) {
            let selector = self.selector();
            let extension = match extended && self.random.chance(30) {
                true => self.pick(&[" anchored", " smoothed"]),
                false => "",
            };
            return format!("{selector}[{window}]{extension}{}", self.modifiers());
        }
        let inner = self.vector(depth - 1);
        // Prometheus notes also what happens at points that a shorter window does not use.
        let window = if window == "1ms" { "1m" } else { window };
        let step = self.pick(&["", "15s", "1m", "7s"]);
        // An offset of a subquery makes Prometheus miss samples that an `@` inside asks for.
        let modifiers = if inner.contains('@') { String::new() } else { self.modifiers() };
        format!("({inner})[{window}:{step}]{modifiers}")
    }

    fn scalar(&mut self, depth: usize) -> String {
        match self.random.below(10) {
            0 if depth > 0 => format!("scalar({})", self.vector(depth - 1)),
            1 => "time()".to_owned(),
            _ => self.pick(NUMBERS).to_owned(),
        }
    }

    pub(crate) fn vector(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.instant_selector();
        }
        match self.random.below(100) {
            0..12 => self.instant_selector(),
            12..48 => self.call(depth - 1),
            48..68 => self.aggregation(depth - 1),
            68..92 => format!("({})", self.binary(depth - 1)),
            92..96 => format!("-{}", self.of_one_kind(depth - 1)),
            _ => format!("({})", self.vector(depth - 1)),
        }
    }

    /// A vector without `or`: where series of both kinds merge afterwards, Prometheus loses histograms.
    fn of_one_kind(&mut self, depth: usize) -> String {
        let inner = self.vector(depth);
        if inner.contains(" or ") { self.instant_selector() } else { inner }
    }

    fn call(&mut self, depth: usize) -> String {
        match self.random.below(100) {
            0..22 => {
                let function = self.pick(OF_VECTOR);
                format!("{function}({})", self.vector(depth))
            }
            22..64 => {
                let function = self.pick(OF_RANGE);
                format!("{function}({})", self.range(depth, EXTENDED.contains(&function)))
            }
            64..67 => format!("quantile_over_time({}, {})", self.pick(NUMBERS), self.range(depth, false)),
            // Of a subquery Prometheus would evaluate more points than are used, and fail where they do.
            67..70 => format!("predict_linear({}, {})", self.range(0, false), self.pick(NUMBERS)),
            70..80 => format!("histogram_quantile({}, {})", self.scalar(depth), self.vector(depth)),
            80..87 => {
                let (lower, upper) = (self.scalar(depth), self.scalar(depth));
                format!("histogram_fraction({lower}, {upper}, {})", self.vector(depth))
            }
            87..90 => {
                format!("histogram_quantiles({}, \"q\", 0.5, {})", self.vector(depth), self.pick(NUMBERS))
            }
            90..93 => {
                let inner = self.of_one_kind(depth);
                format!("label_replace({inner}, \"new\", \"$1\", \"{}\", \"(.*)\")", self.pick(LABELS))
            }
            93..95 => format!("clamp_max({}, {})", self.vector(depth), self.scalar(depth)),
            95..97 => format!("sort_by_label({}, \"instance\")", self.vector(depth)),
            _ => format!("vector({})", self.scalar(depth)),
        }
    }

    fn aggregation(&mut self, depth: usize) -> String {
        let op = self.pick(&[
            "sum",
            "sum",
            "sum",
            "sum",
            "avg",
            "avg",
            "avg",
            "count",
            "group",
            "min",
            "max",
            "stddev",
            "stdvar",
            "topk",
            "bottomk",
            "count_values",
            "quantile",
            "limitk",
            "limit_ratio",
        ]);
        let labels = self.labels(2);
        let grouping = match self.random.below(4) {
            0 => String::new(),
            1 => format!(" without ({labels})"),
            _ => format!(" by ({labels})"),
        };
        let inner = self.vector(depth);
        let parameter = match op {
            "topk" | "bottomk" | "limitk" => self.pick(&["1", "2", "3", "0", "2.9"]),
            "quantile" => self.pick(&["0.5", "0", "1", "0.9", "2"]),
            "limit_ratio" => self.pick(&["0.5", "-0.5", "1", "0.1"]),
            "count_values" => "\"v\"",
            _ => return format!("{op}{grouping} ({inner})"),
        };
        format!("{op}{grouping} ({parameter}, {inner})")
    }

    fn binary(&mut self, depth: usize) -> String {
        let op = self.pick(&[
            "+", "+", "+", "-", "-", "-", "*", "*", "/", "/", "%", "==", "==", "!=", ">", "<=", "</", "</",
            ">/", ">/", "and", "or", "unless",
        ]);
        let set = matches!(op, "and" | "or" | "unless");
        let comparison = matches!(op, "==" | "!=" | ">" | "<=");
        let return_bool = if comparison && self.random.chance(30) { " bool" } else { "" };
        if !set && self.random.chance(45) {
            let (vector, scalar) = (self.vector(depth), self.scalar(depth));
            return match self.random.chance(70) {
                true => format!("{vector} {op}{return_bool} {scalar}"),
                false => format!("{scalar} {op}{return_bool} {vector}"),
            };
        }
        let mut matching = match self.random.below(4) {
            0 => String::new(),
            1 => " on (job, instance)".to_owned(),
            2 => " ignoring (le)".to_owned(),
            _ => format!(" on ({})", self.labels(2)),
        };
        if !set && !matching.is_empty() && self.random.chance(35) {
            matching.push_str(self.pick(&[" group_left", " group_right", " group_left (code)"]));
        }
        if !set && self.random.chance(10) {
            let value = self.pick(NUMBERS);
            matching.push_str(&format!(" {}({value})", self.pick(&["fill", "fill_left", "fill_right"])));
        }
        let (left, right) = match self.random.below(4) {
            0 => ("h".to_owned(), self.pick(&["h offset 1m", "hg", "hc", "hm", "h"]).to_owned()),
            1 => (self.pick(&["h", "hc", "hg", "hm"]).to_owned(), self.pick(&["g", "lim", "h"]).to_owned()),
            _ => (self.vector(depth), self.vector(depth)),
        };
        format!("{left} {op}{return_bool}{matching} {right}")
    }
}
