//! Tokens to a syntax tree: the grammar of expr 1.17, by precedence climbing.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};

use super::lex::{Lexer, Token, TokenKind, is_identifier};
use super::node::{
    BinaryOperator, BuiltinName, ComparisonOperator, Node, NodeKind, UNSUPPORTED_BUILTINS, UnaryOperator,
    precedence,
};
use super::{Limits, Profile};

/// Parses a whole condition.
pub(super) fn parse(text: &str, profile: Profile, limits: &Limits) -> Result<Node> {
    if text.len() > limits.text_bytes {
        return Err(Error::new(
            ErrorKind::Limit,
            format!("condition of {} bytes, at most {} allowed", text.len(), limits.text_bytes),
        ));
    }
    let mut lexer = Lexer::new(text);
    let current = lexer.next()?;
    let mut parser =
        Parser { lexer, current, stash: None, profile, limits: *limits, predicates: 0, level: 0, nodes: 0 };
    let node = parser.sequence()?;
    if parser.current.kind != TokenKind::End {
        return Err(parser.unexpected());
    }
    Ok(node)
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    current: Token,
    stash: Option<Token>,
    profile: Profile,
    limits: Limits,
    /// How many predicates surround this place; `#` means something inside one.
    predicates: usize,
    level: u16,
    nodes: usize,
}

type Place = (usize, usize);

impl Parser<'_> {
    fn next(&mut self) -> Result<()> {
        self.current = match self.stash.take() {
            Some(token) => token,
            None => self.lexer.next()?,
        };
        Ok(())
    }

    /// Whether the current token is this one.
    fn at(&self, kind: TokenKind, text: &str) -> bool {
        self.current.is(kind, text)
    }

    fn at_operator(&self, text: &str) -> bool {
        self.at(TokenKind::Operator, text)
    }

    fn at_bracket(&self, text: &str) -> bool {
        self.at(TokenKind::Bracket, text)
    }

    fn expect(&mut self, kind: TokenKind, text: &str) -> Result<()> {
        if self.at(kind, text) { self.next() } else { Err(self.unexpected()) }
    }

    fn place(&self) -> Place {
        (self.current.start, self.current.end)
    }

    fn unexpected(&self) -> Error {
        self.error(format!("unexpected token {}", self.current.describe()))
    }

    fn error(&self, sentence: impl Into<String>) -> Error {
        let (start, end) = self.place();
        Error::new(ErrorKind::Parse, sentence).at(start, end)
    }

    fn node(&mut self, kind: NodeKind, place: Place) -> Result<Node> {
        self.nodes = self.nodes.saturating_add(1);
        if self.nodes > self.limits.nodes {
            return Err(Error::new(
                ErrorKind::Limit,
                "compilation failed: expression exceeds maximum allowed nodes",
            ));
        }
        let node = Node::new(kind, place.0, place.1);
        if node.depth > self.limits.depth {
            return Err(self.too_deep());
        }
        Ok(node)
    }

    fn too_deep(&self) -> Error {
        let (start, end) = self.place();
        Error::new(ErrorKind::Limit, format!("condition is nested deeper than {} levels", self.limits.depth))
            .at(start, end)
    }

    /// Runs `parse` one level deeper.
    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.level >= self.limits.depth {
            return Err(self.too_deep());
        }
        self.level = self.level.saturating_add(1);
        let parsed = parse(self);
        self.level = self.level.saturating_sub(1);
        parsed
    }

    fn sequence(&mut self) -> Result<Node> {
        let place = self.place();
        let first = self.expression(0)?;
        if !self.at_operator(";") {
            return Ok(first);
        }
        self.need(Profile::V1_10, "a sequence of expressions")?;
        let mut nodes = vec![first];
        while self.at_operator(";") {
            self.next()?;
            if self.current.kind == TokenKind::End {
                break;
            }
            nodes.push(self.expression(0)?);
        }
        match nodes.len() {
            1 => nodes.pop().ok_or_else(|| self.unexpected()),
            _ => self.node(NodeKind::Sequence(nodes), place),
        }
    }

    /// Refuses what the release that is being imitated does not know.
    fn need(&self, profile: Profile, what: &str) -> Result<()> {
        if self.profile >= profile {
            return Ok(());
        }
        let (start, end) = self.place();
        Err(Error::new(ErrorKind::Unsupported, format!("{what} needs a newer release of Argo Rollouts"))
            .at(start, end))
    }

    fn expression(&mut self, least: u16) -> Result<Node> {
        self.nested(|parser| parser.expression_here(least))
    }

    fn expression_here(&mut self, least: u16) -> Result<Node> {
        if least == 0 && self.at_operator("let") {
            return self.variable();
        }
        if least == 0 && self.at_operator("if") {
            self.need(Profile::V1_10, "if")?;
            return self.conditional_if();
        }
        let left = self.primary()?;
        let left = self.operators(left, least)?;
        if least == 0 { self.ternary(left) } else { Ok(left) }
    }

    /// What follows an operand, while it binds at least as tightly as `least`.
    fn operators(&mut self, mut left: Node, least: u16) -> Result<Node> {
        let mut after_coalesce = false;
        while self.current.kind == TokenKind::Operator {
            let negated = self.at_operator("not");
            if negated {
                let not = self.current.clone();
                self.next()?;
                if !matches!(
                    self.current.text.as_str(),
                    "contains" | "matches" | "startsWith" | "endsWith" | "in"
                ) {
                    return Err(self.unexpected());
                }
                if precedence(&self.current.text).is_none_or(|own| own < least) {
                    self.stash = Some(std::mem::replace(&mut self.current, not));
                    break;
                }
            }
            let operator = self.current.clone();
            let Some(own) = precedence(&operator.text).filter(|own| *own >= least) else { break };
            let place = self.place();
            self.next()?;
            if operator.text == "|" {
                let name = self.current.clone();
                if name.kind != TokenKind::Identifier {
                    return Err(self.unexpected());
                }
                self.next()?;
                left = self.call(&name, vec![left])?;
                after_coalesce = false;
                continue;
            }
            if after_coalesce && operator.text != "??" {
                return Err(Error::new(
                    ErrorKind::Parse,
                    format!(
                        "Operator ({}) and coalesce expressions (??) cannot be mixed. Wrap either by parentheses.",
                        operator.text
                    ),
                )
                .at(operator.start, operator.end));
            }
            if let Some(comparison) = ComparisonOperator::from_text(&operator.text) {
                left = self.comparison(left, comparison, own, place)?;
            } else {
                let Some(binary) = BinaryOperator::from_text(&operator.text) else {
                    return Err(self.unexpected());
                };
                let above =
                    if matches!(binary, BinaryOperator::Power(_)) { own } else { own.saturating_add(1) };
                let right = self.expression(above)?;
                left = self.node(NodeKind::Binary(binary, Box::new(left), Box::new(right)), place)?;
                if negated {
                    left = self.node(NodeKind::Unary(UnaryOperator::Not, Box::new(left)), place)?;
                }
            }
            after_coalesce = operator.text == "??";
        }
        Ok(left)
    }

    /// `a < b < c` is `a < b && b < c`; up to 1.9 it was `(a < b) < c`.
    fn comparison(
        &mut self,
        first: Node,
        operator: ComparisonOperator,
        own: u16,
        place: Place,
    ) -> Result<Node> {
        let mut rest = vec![(operator, self.expression(own.saturating_add(1))?)];
        while self.profile >= Profile::V1_10 && self.current.kind == TokenKind::Operator {
            let Some(next) = ComparisonOperator::from_text(&self.current.text) else { break };
            self.next()?;
            rest.push((next, self.expression(own.saturating_add(1))?));
        }
        self.node(NodeKind::Comparison(Box::new(first), rest), place)
    }

    fn variable(&mut self) -> Result<Node> {
        self.next()?;
        let name = self.current.clone();
        if name.kind != TokenKind::Identifier {
            return Err(self.unexpected());
        }
        self.next()?;
        self.expect(TokenKind::Operator, "=")?;
        let value = self.expression(0)?;
        self.expect(TokenKind::Operator, ";")?;
        let body = self.nested(Self::sequence)?;
        self.node(
            NodeKind::Let {
                name: Arc::from(name.text.as_str()),
                value: Box::new(value),
                body: Box::new(body),
            },
            (name.start, name.end),
        )
    }

    fn conditional_if(&mut self) -> Result<Node> {
        let place = self.place();
        self.next()?;
        let condition = self.expression(0)?;
        let then = self.braced()?;
        self.expect(TokenKind::Operator, "else")?;
        let otherwise =
            if self.at_operator("if") { self.nested(Self::conditional_if)? } else { self.braced()? };
        let kind = NodeKind::Conditional {
            condition: Box::new(condition),
            then: Some(Box::new(then)),
            otherwise: Box::new(otherwise),
        };
        self.node(kind, place)
    }

    fn braced(&mut self) -> Result<Node> {
        self.expect(TokenKind::Bracket, "{")?;
        let body = self.sequence()?;
        self.expect(TokenKind::Bracket, "}")?;
        Ok(body)
    }

    fn ternary(&mut self, mut condition: Node) -> Result<Node> {
        while self.at_operator("?") {
            let place = self.place();
            self.next()?;
            // `a ?: b` answers the condition itself where it holds.
            let then = if self.at_operator(":") { None } else { Some(Box::new(self.expression(0)?)) };
            self.expect(TokenKind::Operator, ":")?;
            let otherwise = Box::new(self.expression(0)?);
            let kind = NodeKind::Conditional { condition: Box::new(condition), then, otherwise };
            condition = self.node(kind, place)?;
        }
        Ok(condition)
    }

    fn primary(&mut self) -> Result<Node> {
        let place = self.place();
        if self.current.kind == TokenKind::Operator
            && let Some((operator, own)) = UnaryOperator::from_text(&self.current.text)
        {
            self.next()?;
            let operand = self.expression(own)?;
            let node = self.node(NodeKind::Unary(operator, Box::new(operand)), place)?;
            return self.postfix(node);
        }
        if self.at_bracket("(") {
            self.next()?;
            let inner = self.sequence()?;
            self.expect(TokenKind::Bracket, ")")?;
            return self.postfix(inner);
        }
        if self.predicates > 0 && (self.at_operator("#") || self.at_operator(".")) {
            let mut name = Arc::from("");
            if self.at_operator("#") {
                self.next()?;
                if self.current.kind == TokenKind::Identifier {
                    name = Arc::from(self.current.text.as_str());
                    self.next()?;
                }
            }
            let node = self.node(NodeKind::Pointer(name), place)?;
            return self.postfix(node);
        }
        if self.at_operator("::") {
            self.next()?;
            let name = self.current.clone();
            if name.kind != TokenKind::Identifier {
                return Err(self.unexpected());
            }
            self.next()?;
            let call = self.call(&name, Vec::new())?;
            return self.postfix(call);
        }
        self.secondary()
    }

    fn secondary(&mut self) -> Result<Node> {
        let token = self.current.clone();
        let place = self.place();
        let node = match token.kind {
            TokenKind::Identifier => {
                self.next()?;
                match token.text.as_str() {
                    "true" => return self.node(NodeKind::Bool(true), place),
                    "false" => return self.node(NodeKind::Bool(false), place),
                    "nil" => return self.node(NodeKind::Nil, place),
                    _ if self.at_bracket("(") => self.call(&token, Vec::new())?,
                    name => self.node(NodeKind::Identifier(Arc::from(name)), place)?,
                }
            }
            TokenKind::Number => {
                self.next()?;
                let kind = super::literal::number(&token)?;
                return self.node(kind, place);
            }
            TokenKind::Text => {
                self.next()?;
                self.node(NodeKind::Text(Arc::from(token.text.as_str())), place)?
            }
            TokenKind::Bracket if token.text == "[" => self.list()?,
            TokenKind::Bracket if token.text == "{" => self.map()?,
            _ => return Err(self.unexpected()),
        };
        self.postfix(node)
    }

    /// A call of a function by name; `piped` is what a pipe put before the arguments.
    fn call(&mut self, name: &Token, mut piped: Vec<Node>) -> Result<Node> {
        let place = (name.start, name.end);
        if UNSUPPORTED_BUILTINS.contains(&name.text.as_str()) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("function {} is not supported in conditions", name.text),
            )
            .at(name.start, name.end));
        }
        let Some(builtin) = BuiltinName::from_text(&name.text) else {
            let callee = self.node(NodeKind::Identifier(Arc::from(name.text.as_str())), place)?;
            let arguments = self.arguments(piped)?;
            return self.node(NodeKind::Call { callee: Box::new(callee), arguments }, place);
        };
        let arguments = match builtin.predicate_arguments() {
            None => self.arguments(piped)?,
            Some((needed, allowed)) => {
                self.expect(TokenKind::Bracket, "(")?;
                let given = piped.len();
                for index in given..allowed {
                    if self.at_bracket(")") {
                        if index >= needed {
                            break;
                        }
                        let expected = allowed.saturating_sub(given);
                        return Err(self.error(format!("expected at least {expected} arguments")));
                    }
                    if index > given {
                        self.expect(TokenKind::Operator, ",")?;
                    }
                    let argument = if index == 1 { self.predicate()? } else { self.expression(0)? };
                    piped.push(argument);
                }
                if self.at_operator(",") {
                    self.next()?;
                }
                self.expect(TokenKind::Bracket, ")")?;
                piped
            }
        };
        self.node(NodeKind::Builtin { name: builtin, arguments, mapped: None, throws: false }, place)
    }

    fn arguments(&mut self, mut arguments: Vec<Node>) -> Result<Vec<Node>> {
        let given = arguments.len();
        self.expect(TokenKind::Bracket, "(")?;
        while !self.at_bracket(")") {
            if arguments.len() > given {
                self.expect(TokenKind::Operator, ",")?;
            }
            if self.at_bracket(")") {
                break;
            }
            arguments.push(self.expression(0)?);
        }
        self.next()?;
        Ok(arguments)
    }

    fn predicate(&mut self) -> Result<Node> {
        let place = self.place();
        let braces = self.at_bracket("{");
        if braces {
            self.next()?;
        }
        self.predicates = self.predicates.saturating_add(1);
        let body = if braces { self.nested(Self::sequence) } else { self.expression(0) };
        self.predicates = self.predicates.saturating_sub(1);
        let body = body?;
        if braces {
            self.expect(TokenKind::Bracket, "}")?;
        } else if self.at_operator(";") {
            return Err(self.error("wrap predicate with brackets { and }"));
        }
        self.node(NodeKind::Predicate(Box::new(body)), place)
    }

    fn list(&mut self) -> Result<Node> {
        let place = self.place();
        self.next()?;
        let mut nodes = Vec::new();
        while !self.at_bracket("]") {
            if !nodes.is_empty() {
                self.expect(TokenKind::Operator, ",")?;
                if self.at_bracket("]") {
                    break;
                }
            }
            nodes.push(self.expression(0)?);
        }
        self.next()?;
        self.node(NodeKind::List(nodes), place)
    }

    fn map(&mut self) -> Result<Node> {
        let place = self.place();
        self.next()?;
        let mut pairs = Vec::new();
        while !self.at_bracket("}") {
            if !pairs.is_empty() {
                self.expect(TokenKind::Operator, ",")?;
                if self.at_bracket("}") {
                    break;
                }
                if self.at_operator(",") {
                    return Err(self.unexpected());
                }
            }
            let at = self.place();
            let key = match self.current.kind {
                TokenKind::Number | TokenKind::Text | TokenKind::Identifier => {
                    let text = Arc::from(self.current.text.as_str());
                    self.next()?;
                    self.node(NodeKind::Text(text), at)?
                }
                TokenKind::Bracket if self.current.text == "(" => self.expression(0)?,
                _ => {
                    return Err(self.error(format!(
                        "a map key must be a quoted string, a number, a identifier, or an expression enclosed in \
                         parentheses (unexpected token {})",
                        self.current.describe()
                    )));
                }
            };
            self.expect(TokenKind::Operator, ":")?;
            let value = self.expression(0)?;
            pairs.push((key, value));
        }
        self.next()?;
        self.node(NodeKind::Map(pairs), place)
    }

    /// `.name`, `?.name`, `[i]`, `?.[i]`, `[a:b]` and `.name(..)` after an operand.
    fn postfix(&mut self, mut node: Node) -> Result<Node> {
        loop {
            let optional = self.at_operator("?.");
            if optional || self.at_operator(".") {
                let place = self.place();
                self.next()?;
                if optional && self.at_bracket("[") {
                    node = self.index(node, true, place)?;
                } else {
                    node = self.member(node, optional)?;
                }
            } else if self.at_bracket("[") {
                let place = self.place();
                node = self.index(node, false, place)?;
            } else {
                return Ok(node);
            }
        }
    }

    fn member(&mut self, node: Node, optional: bool) -> Result<Node> {
        let property = self.current.clone();
        let place = self.place();
        self.next()?;
        let word = property.text.chars().all(is_identifier)
            && property.text.chars().next().is_some_and(|c| c.to_digit(10).is_none());
        if property.kind != TokenKind::Identifier && !(property.kind == TokenKind::Operator && word) {
            return Err(self.error("expected name"));
        }
        let (base, chained) = match node.kind {
            NodeKind::Chain(inner) => (*inner, true),
            _ => (node, false),
        };
        let property = self.node(NodeKind::Text(Arc::from(property.text.as_str())), place)?;
        let method = self.at_bracket("(");
        let mut node = self.node(
            NodeKind::Member { base: Box::new(base), property: Box::new(property), optional, method },
            place,
        )?;
        if method {
            let arguments = self.arguments(Vec::new())?;
            node = self.node(NodeKind::Call { callee: Box::new(node), arguments }, place)?;
        }
        if chained || optional {
            node = self.node(NodeKind::Chain(Box::new(node)), place)?;
        }
        Ok(node)
    }

    fn index(&mut self, base: Node, optional: bool, place: Place) -> Result<Node> {
        self.next()?;
        let from = if self.at_operator(":") { None } else { Some(Box::new(self.expression(0)?)) };
        let from = match from {
            Some(property) if !self.at_operator(":") => {
                let mut node = self.node(
                    NodeKind::Member { base: Box::new(base), property, optional, method: false },
                    place,
                )?;
                if optional {
                    node = self.node(NodeKind::Chain(Box::new(node)), place)?;
                }
                self.expect(TokenKind::Bracket, "]")?;
                return Ok(node);
            }
            from => from,
        };
        self.next()?;
        let to = if self.at_bracket("]") { None } else { Some(Box::new(self.expression(0)?)) };
        let kind = NodeKind::Slice { base: Box::new(base), from, to };
        let node = self.node(kind, place)?;
        self.expect(TokenKind::Bracket, "]")?;
        Ok(node)
    }
}
