//! Which series a check looks at.

use super::invalid;
use crate::error::Result;
use crate::model::{MatchOp, Matcher};
use crate::promql::ast::Expr;
use crate::promql::parse::{ParseOptions, parse};

/// Which series: a PromQL vector selector without modifiers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Selector {
    /// As the matchers print, whatever the blanks in the original.
    pub(crate) text: String,
    pub(crate) matchers: Vec<Matcher>,
}

impl Selector {
    /// Reads a selector such as `requests_total{job="api"}`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let expr = parse(text, &ParseOptions::default())?;
        let Expr::Vector(selector) = expr.unwrap_parens() else {
            return Err(invalid(format!(
                "`{text}` is no selector; write a metric name and matchers, without a window"
            )));
        };
        let modifiers = &selector.modifiers;
        if modifiers.offset.is_some() || modifiers.at.is_some() || modifiers.extension.is_some() {
            return Err(invalid(format!(
                "selector `{text}` has a modifier; a gate counts from its own start"
            )));
        }
        Ok(Self::of(selector.matchers.clone()))
    }

    pub(crate) fn of(matchers: Vec<Matcher>) -> Self {
        Self { text: print(&matchers), matchers }
    }

    /// The same with one more matcher.
    pub(crate) fn with(&self, matcher: Matcher) -> Self {
        Self::of(self.matchers.iter().cloned().chain([matcher]).collect())
    }

    /// The selectors of an expression in the order in which they stand, each once, modifiers and windows left out.
    pub(crate) fn all_of(expr: &Expr) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        let mut open = vec![expr];
        while let Some(expr) = open.pop() {
            let selector = match expr {
                Expr::Number(_) | Expr::String(_) => continue,
                Expr::Vector(selector) => selector,
                Expr::Matrix(matrix) => &matrix.selector,
                Expr::Paren(paren) => {
                    open.push(&paren.expr);
                    continue;
                }
                Expr::Unary(unary) => {
                    open.push(&unary.expr);
                    continue;
                }
                Expr::Subquery(subquery) => {
                    open.push(&subquery.expr);
                    continue;
                }
                Expr::Call(call) => {
                    open.extend(call.args.iter().rev());
                    continue;
                }
                Expr::Aggregate(aggregate) => {
                    open.push(&aggregate.expr);
                    open.extend(&aggregate.param);
                    continue;
                }
                Expr::Binary(binary) => {
                    open.extend([&binary.rhs, &binary.lhs]);
                    continue;
                }
            };
            let own = Self::of(selector.matchers.clone());
            if !all.contains(&own) {
                all.push(own);
            }
        }
        all
    }

    /// The metric name, where one matcher fixes it.
    pub(crate) fn metric(&self) -> Option<&str> {
        self.equal("__name__")
    }

    /// The value that an equality matcher fixes for this label.
    pub(crate) fn equal(&self, label: &str) -> Option<&str> {
        self.matchers
            .iter()
            .find(|matcher| matcher.name() == label && matcher.op() == MatchOp::Equal)
            .and_then(|matcher| std::str::from_utf8(matcher.value()).ok())
    }
}

/// `name{label="value"}`: the name in front, the other matchers as written.
fn print(matchers: &[Matcher]) -> String {
    let name = matchers.iter().find(|matcher| matcher.name() == "__name__" && matcher.op() == MatchOp::Equal);
    let mut text = name.map(|name| String::from_utf8_lossy(name.value()).into_owned()).unwrap_or_default();
    let rest: Vec<String> =
        matchers.iter().filter(|matcher| Some(*matcher) != name).map(ToString::to_string).collect();
    if !rest.is_empty() || text.is_empty() {
        text.push('{');
        text.push_str(&rest.join(","));
        text.push('}');
    }
    text
}
