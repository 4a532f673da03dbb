//! The tree of a template.

use super::function::Function;

/// Where something stands in a template: its line, from 1.
pub(super) type Line = u32;

/// A run of nodes.
pub(super) type Body = Vec<Node>;

#[derive(Clone, Debug)]
pub(super) enum Node {
    Text(String),
    /// `{{pipeline}}`
    Action(Pipeline),
    /// `{{if}} … {{else if}} … {{else}} … {{end}}`, and the same of `with`.
    Branch {
        is_with: bool,
        condition: Pipeline,
        body: Body,
        otherwise: Body,
    },
    /// `{{range}} … {{else}} … {{end}}`
    Range {
        over: Pipeline,
        body: Body,
        otherwise: Body,
    },
    /// `{{template "name" pipeline}}`
    Template {
        name: String,
        argument: Option<Pipeline>,
        line: Line,
    },
    Break,
    Continue,
}

/// `$x := command | command`
#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    pub(super) variables: Vec<String>,
    /// `=` and not `:=`.
    pub(super) assigns: bool,
    pub(super) commands: Vec<Command>,
    pub(super) line: Line,
}

/// An operand with its arguments.
#[derive(Clone, Debug)]
pub(super) struct Command {
    pub(super) first: Operand,
    pub(super) arguments: Vec<Operand>,
}

#[derive(Clone, Debug)]
pub(super) enum Operand {
    Dot,
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// `.a.b`
    Field(Vec<String>),
    /// `$x.a.b`
    Variable(String, Vec<String>),
    Function(Function),
    /// `(pipeline).a.b`
    Pipeline(Box<Pipeline>, Vec<String>),
}
