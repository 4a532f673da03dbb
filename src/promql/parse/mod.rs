//! Text to tree.

use crate::error::{Error, ErrorKind, Result};

use super::ast::Expr;

/// Which parts of the language are switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ParseOptions {
    pub(crate) at_modifier: bool,
    pub(crate) negative_offset: bool,
    pub(crate) duration_expressions: bool,
    pub(crate) experimental_functions: bool,
    pub(crate) extended_range_selectors: bool,
    pub(crate) fill_modifiers: bool,
}

/// Parses and checks a query.
pub(crate) fn parse(_text: &str, _options: &ParseOptions) -> Result<Expr> {
    Err(Error::new(ErrorKind::Unsupported, "not built"))
}
