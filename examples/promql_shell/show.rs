//! Answers as tables, series as sparklines.

use promgate::{Evaluation, Labels, MatrixSeries, SampleValue, Value, is_stale};

/// Lines of a table; what is left out is counted.
const MOST_LINES: usize = 100;
/// Characters of a sparkline.
const WIDTH: usize = 60;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The answer, its warnings and infos below it.
pub(crate) fn evaluation(evaluation: &Evaluation) -> String {
    let mut text = match &evaluation.value {
        Value::Scalar(value) => format!("{}\n", number(*value)),
        Value::String(value) => format!("{value:?}\n"),
        Value::Vector(samples) => {
            table(samples.iter().map(|sample| (name(&sample.labels), value(&sample.value))).collect())
        }
        Value::Matrix(series) => {
            table(series.iter().map(|series| (name(&series.labels), line(series))).collect())
        }
        other => format!("{other:?}\n"),
    };
    for (kind, notes) in
        [("warning", &evaluation.annotations.warnings), ("info", &evaluation.annotations.infos)]
    {
        for note in notes {
            text.push_str(&format!("{kind}: {note}\n"));
        }
    }
    text
}

/// `requests_total{code="200"}`, without control characters.
fn name(labels: &Labels) -> String {
    let pairs = labels.iter().filter(|label| &*label.name != "__name__");
    let pairs: Vec<String> = pairs.map(|label| format!("{}={:?}", label.name, label.value)).collect();
    format!("{}{{{}}}", labels.metric_name(), pairs.join(", "))
}

fn value(value: &SampleValue) -> String {
    match value {
        SampleValue::Float(value) => number(*value),
        SampleValue::Histogram(histogram) => histogram.to_string(),
    }
}

fn number(value: f64) -> String {
    if value.is_finite() && value != 0.0 && !(1e-4..1e15).contains(&value.abs()) {
        format!("{value:e}")
    } else {
        value.to_string()
    }
}

/// Names on the left, what belongs to them in a column on the right.
fn table(rows: Vec<(String, String)>) -> String {
    if rows.is_empty() {
        return "nothing\n".to_owned();
    }
    let width = rows.iter().take(MOST_LINES).map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in rows.iter().take(MOST_LINES) {
        text.push_str(&format!("{name:<width$}  {value}\n"));
    }
    if rows.len() > MOST_LINES {
        text.push_str(&format!("and {} more\n", rows.len().saturating_sub(MOST_LINES)));
    }
    text
}

/// `▁▂█ 1 … 7, last 3`, a blank where there is nothing.
fn line(series: &MatrixSeries) -> String {
    let samples = &series.samples;
    if samples.times.is_empty() {
        return match samples.histograms.last() {
            Some((_, last, _)) => format!("{} histograms, last {last}", samples.histograms.len()),
            None => String::new(),
        };
    }
    let finite = || samples.values.iter().copied().filter(|value| value.is_finite());
    let (low, high) = finite()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    let last = samples.values.iter().rev().find(|value| !is_stale(**value)).copied().unwrap_or(f64::NAN);
    if low > high {
        return format!("last {}", number(last));
    }
    let (first, end) = match samples.times.as_slice() {
        [first, .., end] => (*first, *end),
        _ => return number(last),
    };
    let mut sparkline = vec![' '; WIDTH.min(samples.times.len())];
    let places = sparkline.len().saturating_sub(1) as f64;
    let span = (end as f64 - first as f64).max(1.0);
    for (time, value) in samples.times.iter().zip(&samples.values).filter(|(_, value)| value.is_finite()) {
        let place = ((*time as f64 - first as f64) / span * places).round() as usize;
        // Both ends may be as large as floats are.
        let height = (value / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0);
        let bar = if high > low { (height * 7.0).round() as usize } else { 3 };
        if let (Some(slot), Some(bar)) = (sparkline.get_mut(place), BARS.get(bar)) {
            *slot = *bar;
        }
    }
    let sparkline: String = sparkline.into_iter().collect();
    format!("{sparkline}  {} … {}, last {}", number(low), number(high), number(last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use promgate::SampleBuffer;

    fn series(samples: &[(i64, f64)]) -> MatrixSeries {
        let mut buffer = SampleBuffer::default();
        for (time, value) in samples {
            buffer.push_float(*time, *value, 0);
        }
        MatrixSeries { labels: Labels::from_pairs([("__name__", "a"), ("b", "c\n")]), samples: buffer }
    }

    #[test]
    fn a_series_is_drawn_from_its_lowest_to_its_highest_value() {
        assert_eq!(line(&series(&[(0, 0.0), (1, 3.5), (2, 7.0)])), "▁▅█  0 … 7, last 7");
        assert_eq!(line(&series(&[(0, 1.0), (3, 1.0)])), "▄▄  1 … 1, last 1");
        assert_eq!(
            line(&series(&[(0, f64::MIN), (1, f64::NAN), (2, f64::MAX)])).chars().take(3).collect::<String>(),
            "▁ █"
        );
        assert_eq!(line(&series(&[(0, 5.0)])), "5");
        assert_eq!(line(&series(&[(0, f64::INFINITY), (1, f64::INFINITY)])), "last inf");
    }

    #[test]
    fn an_answer_is_a_table() {
        let shown = evaluation(&Evaluation {
            value: Value::Matrix(vec![series(&[(0, 1.0), (1, 2.0)])]),
            annotations: promgate::Annotations { warnings: vec!["w".into()], infos: vec!["i".into()] },
        });
        assert_eq!(shown, "a{b=\"c\\n\"}  ▁█  1 … 2, last 2\nwarning: w\ninfo: i\n");
    }
}
