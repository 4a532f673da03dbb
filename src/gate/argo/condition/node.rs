//! The syntax tree of a condition.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::types::Type;

/// One node, its place in the text, and after the check its static type.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) kind: NodeKind,
    pub(super) static_type: Type,
    /// Levels of nodes below and including this one: bounds every recursion over the tree.
    pub(super) depth: u16,
    pub(super) start: usize,
    pub(super) end: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum NodeKind {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Arc<str>),
    Identifier(Arc<str>),
    Unary(UnaryOperator, Box<Node>),
    Binary(BinaryOperator, Box<Node>, Box<Node>),
    /// `a < b <= c`: every neighbouring pair holds.
    Comparison(Box<Node>, Vec<(ComparisonOperator, Node)>),
    /// Ends the reach of `?.`: what stops inside is nil here.
    Chain(Box<Node>),
    Member {
        base: Box<Node>,
        property: Box<Node>,
        optional: bool,
        method: bool,
    },
    Slice {
        base: Box<Node>,
        from: Option<Box<Node>>,
        to: Option<Box<Node>>,
    },
    Call {
        callee: Box<Node>,
        arguments: Vec<Node>,
    },
    Builtin {
        name: BuiltinName,
        arguments: Vec<Node>,
        /// What `map(filter(..), ..)` makes of each element that was kept.
        mapped: Option<Box<Node>>,
        /// `filter(..)[0]` of nothing is an error, `first(filter(..))` is nil.
        throws: bool,
    },
    Predicate(Box<Node>),
    /// `#`, `#acc`, `#index`; the name is empty for the element itself.
    Pointer(Arc<str>),
    Let {
        name: Arc<str>,
        value: Box<Node>,
        body: Box<Node>,
    },
    Sequence(Vec<Node>),
    Conditional {
        condition: Box<Node>,
        /// What holds where the condition does; `None` is the condition itself, of `a ?: b`.
        then: Option<Box<Node>>,
        otherwise: Box<Node>,
    },
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    /// `x in 1..9` without building the range.
    InRange(Box<Node>, i64, i64),
    /// `x in [1, 2]` as a look-up.
    InInts(Box<Node>, BTreeSet<i64>),
    /// `x in ["a", "b"]` as a look-up.
    InTexts(Box<Node>, BTreeSet<Arc<str>>),
}

impl PartialEq for Node {
    /// Whether both say the same, wherever they stand.
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnaryOperator {
    Not,
    /// `!`, which means the same and is shown differently.
    Bang,
    Plus,
    Minus,
}

impl UnaryOperator {
    pub(super) fn from_text(text: &str) -> Option<(Self, u16)> {
        Some(match text {
            "not" => (Self::Not, 50),
            "!" => (Self::Bang, 50),
            "-" => (Self::Minus, 90),
            "+" => (Self::Plus, 90),
            _ => return None,
        })
    }

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Not => "not",
            Self::Bang => "!",
            Self::Plus => "+",
            Self::Minus => "-",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ComparisonOperator {
    Less,
    More,
    LessOrEqual,
    MoreOrEqual,
}

impl ComparisonOperator {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::More => ">",
            Self::LessOrEqual => "<=",
            Self::MoreOrEqual => ">=",
        }
    }

    pub(super) fn from_text(text: &str) -> Option<Self> {
        Some(match text {
            "<" => Self::Less,
            ">" => Self::More,
            "<=" => Self::LessOrEqual,
            ">=" => Self::MoreOrEqual,
            _ => return None,
        })
    }
}

/// The binary operators, with their spelling where there are two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BinaryOperator {
    Or(&'static str),
    And(&'static str),
    Equal,
    NotEqual,
    In,
    Matches,
    Contains,
    StartsWith,
    EndsWith,
    Range,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power(&'static str),
    Coalesce,
}

/// Precedence of an operator between two operands; `None` for what is none. The pipe is among them.
pub(super) fn precedence(text: &str) -> Option<u16> {
    Some(match text {
        "|" => 0,
        "or" | "||" => 10,
        "and" | "&&" => 15,
        "==" | "!=" | "<" | ">" | ">=" | "<=" | "in" | "matches" | "contains" | "startsWith" | "endsWith" => {
            20
        }
        ".." => 25,
        "+" | "-" => 30,
        "*" | "/" | "%" => 60,
        "**" | "^" => 100,
        "??" => 500,
        _ => return None,
    })
}

impl BinaryOperator {
    pub(super) fn from_text(text: &str) -> Option<Self> {
        Some(match text {
            "or" => Self::Or("or"),
            "||" => Self::Or("||"),
            "and" => Self::And("and"),
            "&&" => Self::And("&&"),
            "==" => Self::Equal,
            "!=" => Self::NotEqual,
            "in" => Self::In,
            "matches" => Self::Matches,
            "contains" => Self::Contains,
            "startsWith" => Self::StartsWith,
            "endsWith" => Self::EndsWith,
            ".." => Self::Range,
            "+" => Self::Add,
            "-" => Self::Subtract,
            "*" => Self::Multiply,
            "/" => Self::Divide,
            "%" => Self::Modulo,
            "**" => Self::Power("**"),
            "^" => Self::Power("^"),
            "??" => Self::Coalesce,
            _ => return None,
        })
    }

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Or(text) | Self::And(text) | Self::Power(text) => text,
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::In => "in",
            Self::Matches => "matches",
            Self::Contains => "contains",
            Self::StartsWith => "startsWith",
            Self::EndsWith => "endsWith",
            Self::Range => "..",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
            Self::Coalesce => "??",
        }
    }
}

macro_rules! builtins {
    ($($variant:ident $text:literal,)*) => {
        /// The built-in functions that are implemented.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum BuiltinName { $($variant,)* }

        impl BuiltinName {
            pub(super) fn from_text(text: &str) -> Option<Self> {
                Some(match text { $($text => Self::$variant,)* _ => return None })
            }

            pub(super) fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

builtins! {
    All "all", None "none", Any "any", One "one", Filter "filter", Map "map", Count "count", Sum "sum",
    Find "find", FindIndex "findIndex", FindLast "findLast", FindLastIndex "findLastIndex",
    GroupBy "groupBy", SortBy "sortBy", Reduce "reduce",
    Len "len", Type "type", Abs "abs", Ceil "ceil", Floor "floor", Round "round", Int "int", Float "float",
    Text "string", Max "max", Min "min", Mean "mean", Median "median", First "first", Last "last", Get "get",
    Take "take", Reverse "reverse", Uniq "uniq", Concat "concat", Flatten "flatten", Sort "sort",
    Trim "trim", TrimPrefix "trimPrefix", TrimSuffix "trimSuffix", Upper "upper", Lower "lower",
    Split "split", Join "join", IndexOf "indexOf", LastIndexOf "lastIndexOf", HasPrefix "hasPrefix",
    HasSuffix "hasSuffix",
    Now "now", Duration "duration", Date "date",
    BitAnd "bitand", BitOr "bitor", BitXor "bitxor", BitNand "bitnand", BitShl "bitshl", BitShr "bitshr",
    BitUshr "bitushr", BitNot "bitnot",
}

/// Built-in functions of expr that a condition may not use here: named, so that the refusal is clear.
pub(super) const UNSUPPORTED_BUILTINS: [&str; 12] = [
    "splitAfter",
    "replace",
    "repeat",
    "toJSON",
    "fromJSON",
    "toBase64",
    "fromBase64",
    "timezone",
    "keys",
    "values",
    "toPairs",
    "fromPairs",
];

impl BuiltinName {
    /// How many arguments a function with a predicate takes: those it needs, those it may have.
    pub(super) fn predicate_arguments(self) -> Option<(usize, usize)> {
        Some(match self {
            Self::All
            | Self::None
            | Self::Any
            | Self::One
            | Self::Filter
            | Self::Map
            | Self::Find
            | Self::FindIndex
            | Self::FindLast
            | Self::FindLastIndex
            | Self::GroupBy => (2, 2),
            Self::Count | Self::Sum => (1, 2),
            Self::SortBy | Self::Reduce => (2, 3),
            _ => return None,
        })
    }
}

impl Node {
    pub(super) fn new(kind: NodeKind, start: usize, end: usize) -> Self {
        let depth = kind.children_depth().saturating_add(1);
        Self { kind, static_type: Type::Unknown, depth, start, end }
    }

    /// This node with another meaning at the same place and of the same type.
    pub(super) fn replaced(&self, kind: NodeKind) -> Self {
        let mut node = Self::new(kind, self.start, self.end);
        node.static_type = self.static_type.clone();
        node
    }

    pub(super) fn typed(mut self, static_type: Type) -> Self {
        self.static_type = static_type;
        self
    }
}

impl NodeKind {
    fn children_depth(&self) -> u16 {
        fn most<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> u16 {
            nodes.into_iter().map(|node| node.depth).max().unwrap_or(0)
        }
        match self {
            Self::Nil
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Float(_)
            | Self::Text(_)
            | Self::Identifier(_)
            | Self::Pointer(_) => 0,
            Self::Unary(_, node)
            | Self::Chain(node)
            | Self::Predicate(node)
            | Self::InRange(node, ..)
            | Self::InInts(node, _)
            | Self::InTexts(node, _) => node.depth,
            Self::Binary(_, left, right) => left.depth.max(right.depth),
            Self::Comparison(first, rest) => most(rest.iter().map(|(_, node)| node)).max(first.depth),
            Self::Member { base, property, .. } => base.depth.max(property.depth),
            Self::Slice { base, from, to } => most(from.iter().chain(to).map(|node| &**node)).max(base.depth),
            Self::Call { callee, arguments } => most(arguments).max(callee.depth),
            Self::Builtin { arguments, mapped, .. } => {
                most(arguments.iter().chain(mapped.iter().map(|node| &**node)))
            }
            Self::Let { value, body, .. } => value.depth.max(body.depth),
            Self::Sequence(nodes) | Self::List(nodes) => most(nodes),
            Self::Conditional { condition, then, otherwise } => {
                most(then.iter().map(|node| &**node)).max(condition.depth).max(otherwise.depth)
            }
            Self::Map(pairs) => most(pairs.iter().flat_map(|(key, value)| [key, value])),
        }
    }
}
