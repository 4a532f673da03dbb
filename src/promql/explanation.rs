//! How a query would be evaluated, operator by operator.

use std::fmt;

use crate::model::Window;

use super::analysis::EvaluationPath;

/// What one operator is going to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OperatorPlan {
    /// How many operators are around it.
    pub depth: usize,
    /// Its part of the query, that of its operands included.
    pub text: String,
    /// How it comes to its value. [`Families`](EvaluationPath::Families) is taken where the source has families: an operator
    /// below is then not evaluated.
    pub path: EvaluationPath,
    /// The times at which it is evaluated.
    pub steps: usize,
    /// For a selector: which samples are needed, those of all its steps together.
    pub window: Option<Window>,
}

/// How a query would be evaluated. [`Display`](fmt::Display) shows a line for every operator, those that others work on below
/// them.
///
/// ```
/// use promgate::{Engine, Timestamp};
///
/// let engine = Engine::new();
/// let query = engine.prepare("sum by (le) (rate(duration_bucket[2m])) / scalar(max(limit @ 0))")?;
/// let times = (Timestamp::from_secs(600), Timestamp::from_secs(900), 60_000);
/// assert_eq!(engine.explain_range(&query, times.0, times.1, times.2)?.to_string(), "\
/// sum by (le) (rate(duration_bucket[2m])) / scalar(max(limit @ 0)): 6 steps
///   sum by (le) (rate(duration_bucket[2m])): 6 steps, by rows of histograms
///     rate(duration_bucket[2m]): 6 steps
///       duration_bucket[2m]: 6 steps, samples after 480 s up to 900 s
///   scalar(max(limit @ 0)): once for all steps
///     max(limit @ 0): once for all steps
///       limit @ 0: once for all steps, samples after -300 s up to 0 s
/// ");
/// # Ok::<(), promgate::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// Every operator before those that it works on.
    pub operators: Vec<OperatorPlan>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for operator in &self.operators {
            for _ in 0..operator.depth {
                f.write_str("  ")?;
            }
            write!(f, "{}: ", operator.text)?;
            match (operator.path, operator.steps) {
                (EvaluationPath::Once, _) => f.write_str("once for all steps")?,
                (_, 1) => f.write_str("1 step")?,
                (_, steps) => write!(f, "{steps} steps")?,
            }
            if operator.path == EvaluationPath::Families {
                f.write_str(", by rows of histograms")?;
            }
            if let Some(window) = operator.window {
                let seconds = |millis: i64| millis as f64 / 1000.0;
                let (after, until) = (seconds(window.after.as_millis()), seconds(window.until.as_millis()));
                write!(f, ", samples after {after} s up to {until} s")?;
            }
            f.write_str("\n")?;
        }
        Ok(())
    }
}
