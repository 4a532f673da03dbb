//! What the evaluation of a plan would do, without a source.

use crate::promql::analysis::EvaluationPath;
use crate::promql::explanation::OperatorPlan;
use crate::promql::plan::steps::Steps;
use crate::promql::plan::{Node, Operator};

use super::Settings;
use super::family::recognize;

/// Every operator of a plan before its operands, with `text` being that of the query.
pub(crate) fn explain(root: &Node<'_>, steps: Steps, text: &str, settings: Settings) -> Vec<OperatorPlan> {
    let mut operators = Vec::new();
    let mut ahead = vec![(root, steps, 0_usize, false)];
    while let Some((node, steps, depth, around_once)) = ahead.pop() {
        let once = around_once || node.is_once(steps);
        let steps = if once { Steps::single(steps.first()) } else { steps };
        let path = match &node.operator {
            Operator::Aggregate(aggregate) if recognize(aggregate, steps, settings).is_some() => {
                EvaluationPath::Families
            }
            _ if once => EvaluationPath::Once,
            _ => EvaluationPath::Series,
        };
        let operand_steps = match &node.operator {
            Operator::Subquery(subquery) => subquery.steps(steps),
            _ => steps,
        };
        if !matches!(node.operator, Operator::Number(_) | Operator::String(_)) {
            operators.push(OperatorPlan {
                depth,
                text: text.get(node.range.start..node.range.end).unwrap_or_default().to_owned(),
                path,
                steps: steps.count(),
                window: match &node.operator {
                    Operator::Instant(selector) => Some(selector.fetched(steps, settings.lookback)),
                    Operator::Range(selector) => Some(selector.window.fetched(steps)),
                    _ => None,
                },
            });
        }
        let below = node.operands().into_iter().rev();
        ahead.extend(below.map(|operand| (operand, operand_steps, depth.saturating_add(1), once)));
    }
    operators
}

#[cfg(test)]
mod tests {
    use crate::model::{Timestamp, Window};
    use crate::promql::engine::Engine;

    fn explained(query: &str) -> String {
        let engine = Engine::new();
        engine.explain(&engine.prepare(query).unwrap(), Timestamp::from_secs(1_000)).unwrap().to_string()
    }

    #[test]
    fn subqueries_have_steps_of_their_own_and_offsets_move_windows() {
        assert_eq!(
            explained("max_over_time(sum(a offset 1m)[5m:1m])"),
            "max_over_time(sum(a offset 1m)[5m:1m]): 1 step\n  \
             sum(a offset 1m)[5m:1m]: 1 step\n    \
             sum(a offset 1m): 5 steps\n      \
             a offset 1m: 5 steps, samples after 360 s up to 900 s\n"
        );
    }

    #[test]
    fn what_can_come_from_rows_of_histograms_says_so() {
        assert!(
            explained("sum by (le) (rate(a_bucket[1m]))")
                .starts_with("sum by (le) (rate(a_bucket[1m])): 1 step, by rows of histograms\n")
        );
        for query in [
            "sum by (x) (rate(a_bucket[1m]))",
            "sum by (le) (rate(a[1m]))",
            "max by (le) (rate(a_bucket[1m]))",
        ] {
            assert!(!explained(query).contains("rows"), "{query}");
        }
    }

    #[test]
    fn the_window_of_a_selector_is_what_it_asks_the_source_for() {
        let engine = Engine::new().lookback_ms(1_000);
        let query = engine.prepare("a + on() rate(b[10s] @ 50)").unwrap();
        let times = (Timestamp::from_secs(100), Timestamp::from_secs(200));
        let explanation = engine.explain_range(&query, times.0, times.1, 10_000).unwrap();
        let windows: Vec<Window> =
            explanation.operators.iter().filter_map(|operator| operator.window).collect();
        let window = |after, until| Window::new(Timestamp::from_secs(after), Timestamp::from_secs(until));
        assert_eq!(windows, [window(99, 200), window(40, 50)]);
        assert!(engine.explain_range(&query, times.0, times.1, 0).is_err());
    }
}
