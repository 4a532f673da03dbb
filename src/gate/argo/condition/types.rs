//! Static types: what is known of a value before the condition runs.

use std::sync::Arc;

/// The type of an expression, named as Go names it, since people search for those names.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Type {
    /// Nothing is known.
    Unknown,
    /// A value of an interface type: nothing is known either, but messages show it otherwise.
    Any,
    Nil,
    Bool,
    Int,
    /// What `asInt` answers.
    Int64,
    Float,
    Text,
    /// What a Prometheus vector or matrix becomes.
    Floats,
    /// A list with elements of this type.
    List(Arc<Type>),
    /// Decoded JSON object.
    Map,
    /// What `groupBy` answers: lists of these.
    Groups(Arc<Type>),
    Time,
    Duration,
    Function(Function),
}

/// The functions that Argo adds to the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    IsNan,
    IsInf,
    IsNil,
    Default,
    AsInt,
    AsFloat,
    /// A built-in function named without being called.
    Builtin,
}

impl Function {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "isNaN" => Self::IsNan,
            "isInf" => Self::IsInf,
            "isNil" => Self::IsNil,
            "default" => Self::Default,
            "asInt" => Self::AsInt,
            "asFloat" => Self::AsFloat,
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::IsNan => "isNaN",
            Self::IsInf => "isInf",
            Self::IsNil => "isNil",
            Self::Default => "default",
            Self::AsInt => "asInt",
            Self::AsFloat => "asFloat",
            Self::Builtin => "function",
        }
    }

    /// Argument types and the answer's type.
    pub(super) fn signature(self) -> (&'static [Type], Type) {
        match self {
            Self::IsNan | Self::IsInf => (&[Type::Float], Type::Bool),
            Self::IsNil => (&[Type::Any], Type::Bool),
            Self::Default => (&[Type::Any, Type::Any], Type::Any),
            Self::AsInt => (&[Type::Any], Type::Int64),
            Self::AsFloat => (&[Type::Any], Type::Float),
            Self::Builtin => (&[], Type::Unknown),
        }
    }

    /// The type as Go prints it.
    pub(super) fn type_name(self) -> &'static str {
        match self {
            Self::IsNan | Self::IsInf => "func(float64) bool",
            Self::IsNil => "func(interface {}) bool",
            Self::Default => "func(interface {}, interface {}) interface {}",
            Self::AsInt => "func(interface {}) int64",
            Self::AsFloat => "func(interface {}) float64",
            Self::Builtin => "func(...interface {}) (interface {}, error)",
        }
    }
}

impl Type {
    pub(super) fn list(element: Self) -> Self {
        Self::List(Arc::new(element))
    }

    pub(super) fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown | Self::Any)
    }

    pub(super) fn is_nil(&self) -> bool {
        matches!(self, Self::Nil)
    }

    pub(super) fn is_bool(&self) -> bool {
        matches!(self, Self::Bool)
    }

    pub(super) fn is_integer(&self) -> bool {
        matches!(self, Self::Int | Self::Int64)
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Int64 | Self::Float)
    }

    pub(super) fn is_text(&self) -> bool {
        matches!(self, Self::Text)
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self, Self::Floats | Self::List(_))
    }

    pub(super) fn is_map(&self) -> bool {
        matches!(self, Self::Map | Self::Groups(_))
    }

    pub(super) fn is_time(&self) -> bool {
        matches!(self, Self::Time)
    }

    pub(super) fn is_duration(&self) -> bool {
        matches!(self, Self::Duration)
    }

    /// The type of an element of a list or map; unknown for everything else.
    pub(super) fn element(&self) -> Self {
        match self {
            Self::Floats => Self::Float,
            Self::List(element) => (**element).clone(),
            Self::Map => Self::Any,
            Self::Groups(element) => Self::List(element.clone()),
            _ => Self::Unknown,
        }
    }

    /// Whether a value of this type can stand where `target` is declared.
    pub(super) fn assignable_to(&self, target: &Self) -> bool {
        match (self, target) {
            (Self::Nil, Self::Any | Self::Map | Self::Groups(_) | Self::Floats | Self::List(_)) => true,
            (Self::Unknown | Self::Nil, _) | (_, Self::Unknown | Self::Nil) => false,
            (_, Self::Any) | (Self::List(_), Self::List(_)) | (Self::Groups(_), Self::Groups(_)) => true,
            _ => self == target,
        }
    }

    /// Whether `==` between the two makes sense.
    pub(super) fn comparable_to(&self, other: &Self) -> bool {
        self.is_unknown()
            || other.is_unknown()
            || self.is_nil()
            || other.is_nil()
            || (self.is_number() && other.is_number())
            || (self.is_list() && other.is_list())
            || self.assignable_to(other)
    }

    /// Whether an operator on types that satisfy `accepts` may work, as one side or both are unknown.
    pub(super) fn may_fit(&self, other: &Self, accepts: impl Fn(&Self) -> bool) -> bool {
        (self.is_unknown() && other.is_unknown())
            || (self.is_unknown() && accepts(other))
            || (other.is_unknown() && accepts(self))
    }

    /// The type as Go prints it in messages of the check.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Unknown | Self::Nil => "unknown",
            Self::Any => "interface {}",
            _ => self.go_name(),
        }
    }

    /// The type as Go prints its `reflect.Type`; nil has none.
    pub(super) fn go_name(&self) -> &'static str {
        match self {
            Self::Unknown | Self::Any => "interface {}",
            Self::Nil => "%!s(<nil>)",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Int64 => "int64",
            Self::Float => "float64",
            Self::Text => "string",
            Self::Floats => "[]float64",
            Self::List(_) => "[]interface {}",
            Self::Map => "map[string]interface {}",
            Self::Groups(_) => "map[interface {}][]interface {}",
            Self::Time => "time.Time",
            Self::Duration => "time.Duration",
            Self::Function(function) => function.type_name(),
        }
    }
}
