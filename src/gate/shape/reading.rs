//! What a pair of conditions makes of a number, found by trial.

use crate::gate::argo::{Phase, Profile, QueryValue, judge};
use crate::model::Timestamp;

/// What the conditions of a metric say to the answers that a query can give.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reading {
    pub(crate) numbers: Numbers,
    pub(crate) elements: Elements,
}

/// Which numbers are good.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Numbers {
    /// No number is judged: the sentence is that of the first.
    Broken(String),
    /// All numbers get this phase.
    All(Phase),
    /// Good up to `pass`, bad from `fail` on.
    Below { pass: f64, fail: f64 },
    /// Good from `pass` on, bad up to `fail`.
    Above { pass: f64, fail: f64 },
    /// Good is this number only.
    Exactly(f64),
    /// Something else.
    Other,
}

/// Which elements of a vector are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Elements {
    First,
    Every,
    /// Not told apart: there is no number that is good beside one that is bad.
    Unknown,
}

/// The instant at which conditions are tried; those that ask for the time answer for then.
const TRIED_AT: Timestamp = Timestamp::from_secs(1_700_000_000);

/// The phase of one answer.
pub(crate) fn phase(success: &str, failure: &str, value: &QueryValue) -> Result<Phase, String> {
    judge(value, success, failure, TRIED_AT, Profile::V1_10)
}

impl Reading {
    /// Reads two conditions, empty where not given, over answers of which `keeps` lets some through.
    pub(crate) fn of(success: &str, failure: &str, scalar: bool, keeps: &dyn Fn(f64) -> bool) -> Self {
        let value = |numbers: Vec<f64>| match numbers.as_slice() {
            [number] if scalar => QueryValue::Scalar(*number),
            _ => QueryValue::Vector(numbers),
        };
        let judged = |number: f64| {
            let kept = if keeps(number) { vec![number] } else { Vec::new() };
            phase(success, failure, &value(kept))
        };
        let points = points(success, failure);
        let first = points.iter().find_map(|point| judged(*point).err().filter(|_| keeps(*point)));
        let fails_everywhere =
            points.iter().filter(|point| keeps(**point)).all(|point| judged(*point).is_err());
        let numbers = match first {
            Some(sentence) if fails_everywhere => Numbers::Broken(sentence),
            _ => {
                // An Error where the query drops the answer is not good; elsewhere it is something else.
                let coarse = |number: f64| match judged(number) {
                    Ok(phase) => Some(phase),
                    Err(_) if keeps(number) => None,
                    Err(_) => Some(Phase::Failed),
                };
                pattern(&points, &coarse)
            }
        };
        let elements = match good_and_bad(&numbers) {
            Some((good, bad)) if !scalar => {
                let is_good = |pair: [f64; 2]| {
                    phase(success, failure, &QueryValue::Vector(pair.to_vec())) == Ok(Phase::Successful)
                };
                if is_good([good, bad]) { Elements::First } else { Elements::Every }
            }
            _ => Elements::Unknown,
        };
        Self { numbers, elements }
    }
}

fn good_and_bad(numbers: &Numbers) -> Option<(f64, f64)> {
    match numbers {
        Numbers::Below { pass, fail } => Some((pass - 1.0 - pass.abs(), fail + 1.0 + fail.abs())),
        Numbers::Above { pass, fail } => Some((pass + 1.0 + pass.abs(), fail - 1.0 - fail.abs())),
        Numbers::Exactly(good) => Some((*good, good + 1.0 + good.abs())),
        Numbers::Broken(_) | Numbers::All(_) | Numbers::Other => None,
    }
}

/// Numbers to try, ascending: powers of ten, and what stands in the conditions with its neighbours.
fn points(success: &str, failure: &str) -> Vec<f64> {
    let mut points = vec![0.0];
    for exponent in -9_i32..=12 {
        let power = libm::pow(10.0, f64::from(exponent));
        points.extend([power, -power]);
    }
    for literal in literals(success).chain(literals(failure)) {
        points.extend([literal.next_down(), literal, literal.next_up()]);
    }
    points.retain(|point| point.is_finite());
    points.sort_by(f64::total_cmp);
    points.dedup();
    points
}

/// The decimal numbers in a text.
fn literals(text: &str) -> impl Iterator<Item = f64> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '_'))
        .filter(|token| token.starts_with(|c: char| c.is_ascii_digit() || c == '.'))
        .filter_map(|token| token.parse().ok())
}

/// A stretch of numbers with the same phase.
struct Stretch {
    first: f64,
    last: f64,
    phase: Option<Phase>,
}

fn pattern(points: &[f64], judged: &dyn Fn(f64) -> Option<Phase>) -> Numbers {
    let mut stretches: Vec<Stretch> = Vec::new();
    for point in points {
        let phase = judged(*point);
        let Some(open) = stretches.last_mut() else {
            stretches.push(Stretch { first: *point, last: *point, phase });
            continue;
        };
        if open.phase == phase {
            open.last = *point;
            continue;
        }
        let (last, first) = border(open.last, *point, open.phase, judged);
        open.last = last;
        // What lies between two points can be a stretch of its own; one such is as good as any.
        stretches.push(Stretch { first, last: *point, phase: judged(first) });
        if judged(first) != phase {
            stretches.push(Stretch { first: *point, last: *point, phase });
        }
    }
    let good = Some(Phase::Successful);
    let bad = Some(Phase::Failed);
    let open = Some(Phase::Inconclusive);
    let phases: Vec<Option<Phase>> = stretches.iter().map(|stretch| stretch.phase).collect();
    let between = |index: usize| match (stretches.get(index), stretches.get(index.saturating_add(1))) {
        (Some(left), Some(right)) => plainer(left.last, right.first),
        _ => f64::NAN,
    };
    match phases.as_slice() {
        [Some(phase)] => Numbers::All(*phase),
        [a, b] if *a == good && (*b == bad || *b == open) => {
            Numbers::Below { pass: between(0), fail: if *b == bad { between(0) } else { f64::INFINITY } }
        }
        [a, b] if *b == good && (*a == bad || *a == open) => {
            Numbers::Above { pass: between(0), fail: if *a == bad { between(0) } else { f64::NEG_INFINITY } }
        }
        [a, b, c] if (*a, *b, *c) == (good, open, bad) => {
            Numbers::Below { pass: between(0), fail: between(1) }
        }
        [a, b, c] if (*a, *b, *c) == (bad, open, good) => {
            Numbers::Above { pass: between(1), fail: between(0) }
        }
        [a, b, c] if *b == good && *a != good && *c != good => match stretches.get(1) {
            Some(only) if only.first == only.last => Numbers::Exactly(only.first),
            _ => Numbers::Other,
        },
        _ => Numbers::Other,
    }
}

/// The last number with the phase of `low`, and the next one, which has another.
fn border(
    mut low: f64,
    mut high: f64,
    phase: Option<Phase>,
    judged: &dyn Fn(f64) -> Option<Phase>,
) -> (f64, f64) {
    while low.next_up() < high {
        let middle = halfway(low, high);
        if judged(middle) == phase {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low, high)
}

/// The number in the middle of those that lie between two, counted and not measured.
fn halfway(low: f64, high: f64) -> f64 {
    let rank = |number: f64| {
        let bits = number.to_bits() as i64;
        if bits < 0 { i64::MIN.wrapping_sub(bits) } else { bits }
    };
    let middle = (i128::from(rank(low)) + i128::from(rank(high))).div_euclid(2);
    let middle = i64::try_from(middle).unwrap_or(0);
    f64::from_bits(if middle < 0 { i64::MIN.wrapping_sub(middle) } else { middle } as u64)
}

/// Of two neighbours the one that is written shorter: the threshold as it was meant.
fn plainer(a: f64, b: f64) -> f64 {
    let length = |number: f64| format!("{number:e}").len();
    if length(b) < length(a) { b } else { a }
}
