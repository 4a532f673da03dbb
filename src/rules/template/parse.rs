//! Words to tree, as Go's `text/template/parse` reads them.

use std::collections::BTreeMap;

use super::function::Function;
use super::lex::{Part, Word, parts, words};
use super::node::{Body, Command, Line, Node, Operand, Pipeline};

/// How deep actions and parentheses may nest. Bounds every recursion over the tree.
const DEPTH: usize = 30;

/// A template and those that it defines.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    pub(super) body: Body,
    pub(super) defined: BTreeMap<String, Body>,
}

/// Reads a template in which these variables are there already.
pub(super) fn parse(text: &str, variables: &[&str]) -> Result<Tree, String> {
    let mut parts = parts(text)?;
    parts.reverse();
    let mut parser = Parser {
        parts,
        variables: variables.iter().map(|name| (*name).to_owned()).collect(),
        defined: BTreeMap::new(),
        depth: 0,
        loops: 0,
    };
    let (body, end) = parser.body()?;
    match end {
        Stop::Text => Ok(Tree { body, defined: parser.defined }),
        Stop::Else(_, line) => Err(format!("line {line}: unexpected {{{{else}}}}")),
        Stop::End(line) => Err(format!("line {line}: unexpected {{{{end}}}}")),
    }
}

struct Parser<'t> {
    /// What is still to be read, the next one last.
    parts: Vec<Part<'t>>,
    /// The variables that can be seen.
    variables: Vec<String>,
    defined: BTreeMap<String, Body>,
    depth: usize,
    loops: usize,
}

/// What ends a body.
enum Stop {
    Text,
    Else(Words, Line),
    End(Line),
}

/// The words of one action.
struct Words {
    words: Cursor,
    line: Line,
}

/// Words, and how many have been taken.
struct Cursor {
    words: Vec<Word>,
    at: usize,
}

impl Cursor {
    fn peek(&self) -> Option<&Word> {
        self.words.get(self.at)
    }

    fn next(&mut self) -> Option<Word> {
        let word = self.peek().cloned();
        self.at = self.at.saturating_add(1);
        word
    }

    fn next_if(&mut self, wanted: impl Fn(&Word) -> bool) -> Option<Word> {
        if self.peek().is_some_and(wanted) { self.next() } else { None }
    }

    fn next_if_eq(&mut self, wanted: &Word) -> Option<Word> {
        self.next_if(|word| word == wanted)
    }
}

impl Words {
    fn skip_blanks(&mut self) {
        while self.words.next_if_eq(&Word::Space).is_some() {}
    }

    fn keyword(&mut self, name: &str) -> bool {
        self.skip_blanks();
        self.words.next_if(|word| matches!(word, Word::Identifier(found) if found == name)).is_some()
    }

    fn error(&self, text: &str) -> String {
        format!("line {}: {text}", self.line)
    }

    fn finish(&mut self, what: &str) -> Result<(), String> {
        self.skip_blanks();
        match self.words.next() {
            None => Ok(()),
            Some(word) => Err(self.error(&format!("unexpected {} in {what}", word.shown()))),
        }
    }
}

impl Parser<'_> {
    fn enter(&mut self, line: Line) -> Result<(), String> {
        self.depth = self.depth.saturating_add(1);
        if self.depth > DEPTH {
            return Err(format!(
                "line {line}: actions and parentheses nest deeper than {DEPTH} levels (template_depth)"
            ));
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    fn body(&mut self) -> Result<(Body, Stop), String> {
        let mut body = Body::new();
        while let Some(part) = self.parts.pop() {
            let (inside, line) = match part {
                Part::Text(text) => {
                    body.push(Node::Text(text.to_owned()));
                    continue;
                }
                Part::Action { inside, line } => (inside, line),
            };
            let words = words(inside).map_err(|error| format!("line {line}: {error}"))?;
            let mut words = Words { words: Cursor { words, at: 0 }, line };
            if words.keyword("end") {
                words.finish("{{end}}")?;
                return Ok((body, Stop::End(line)));
            }
            if words.keyword("else") {
                return Ok((body, Stop::Else(words, line)));
            }
            self.node(words, &mut body)?;
        }
        Ok((body, Stop::Text))
    }

    /// An action that is no `else` and no `end`. What nests is read in functions of its own, so that the stack stays small.
    fn node(&mut self, mut words: Words, body: &mut Body) -> Result<(), String> {
        if words.keyword("if") {
            self.branch(words, false, body)
        } else if words.keyword("with") {
            self.branch(words, true, body)
        } else if words.keyword("range") {
            self.range(words, body)
        } else if words.keyword("define") {
            self.define(words)
        } else if words.keyword("block") {
            self.block(words, body)
        } else {
            self.leaf(words, body)
        }
    }

    /// An action without a body.
    fn leaf(&mut self, mut words: Words, body: &mut Body) -> Result<(), String> {
        let line = words.line;
        if words.keyword("template") {
            let name = self.name(&mut words, "{{template}}")?;
            words.skip_blanks();
            let argument = match words.words.peek() {
                Some(_) => Some(self.pipeline(&mut words, "{{template}}")?),
                None => None,
            };
            words.finish("{{template}}")?;
            body.push(Node::Template { name, argument, line });
        } else if words.keyword("break") {
            words.finish("{{break}}")?;
            self.check_loop("break", line)?;
            body.push(Node::Break);
        } else if words.keyword("continue") {
            words.finish("{{continue}}")?;
            self.check_loop("continue", line)?;
            body.push(Node::Continue);
        } else {
            let pipeline = self.pipeline(&mut words, "an action")?;
            words.finish("an action")?;
            body.push(Node::Action(pipeline));
        }
        Ok(())
    }

    fn define(&mut self, mut words: Words) -> Result<(), String> {
        let line = words.line;
        let name = self.name(&mut words, "{{define}}")?;
        words.finish("{{define}}")?;
        if self.depth > 0 {
            return Err(format!("line {line}: {{{{define}}}} has to stand outside of other actions"));
        }
        self.defined_body(name, line)
    }

    fn block(&mut self, mut words: Words, body: &mut Body) -> Result<(), String> {
        let line = words.line;
        let name = self.name(&mut words, "{{block}}")?;
        let argument = self.pipeline(&mut words, "{{block}}")?;
        words.finish("{{block}}")?;
        self.defined_body(name.clone(), line)?;
        body.push(Node::Template { name, argument: Some(argument), line });
        Ok(())
    }

    /// The body of a template that is defined, which sees no variables from outside.
    fn defined_body(&mut self, name: String, line: Line) -> Result<(), String> {
        let outer = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let defined = self.until_end(line)?;
        self.variables = outer;
        self.defined.insert(name, defined);
        Ok(())
    }

    fn check_loop(&self, word: &str, line: Line) -> Result<(), String> {
        if self.loops == 0 {
            return Err(format!("line {line}: {{{{{word}}}}} outside of {{{{range}}}}"));
        }
        Ok(())
    }

    /// A quoted name.
    fn name(&self, words: &mut Words, place: &str) -> Result<String, String> {
        words.skip_blanks();
        match words.words.next() {
            Some(Word::Text(name)) => Ok(name),
            _ => Err(words.error(&format!("{place} needs a name in quotes"))),
        }
    }

    /// The body of what has no `else`.
    fn until_end(&mut self, line: Line) -> Result<Body, String> {
        self.enter(line)?;
        let (body, end) = self.body()?;
        self.leave();
        match end {
            Stop::End(_) => Ok(body),
            Stop::Else(_, line) => Err(format!("line {line}: unexpected {{{{else}}}}")),
            Stop::Text => Err(format!("line {line}: an action without {{{{end}}}}")),
        }
    }

    fn branch(&mut self, mut words: Words, is_with: bool, into: &mut Body) -> Result<(), String> {
        let line = words.line;
        self.enter(line)?;
        let place = if is_with { "{{with}}" } else { "{{if}}" };
        let seen = self.variables.len();
        let condition = self.pipeline(&mut words, place)?;
        words.finish(place)?;
        let (body, end) = self.body_of_branch()?;
        let otherwise = match end {
            Stop::End(_) => Body::new(),
            Stop::Text => return Err(format!("line {line}: {place} without {{{{end}}}}")),
            Stop::Else(mut words, line) => {
                // `else if` is an `if` in the `else` whose `end` closes both.
                let mut otherwise = Body::new();
                if words.keyword("if") {
                    self.branch(words, false, &mut otherwise)?;
                } else if words.keyword("with") {
                    self.branch(words, true, &mut otherwise)?;
                } else {
                    words.finish("{{else}}")?;
                    otherwise = self.until_end(line)?;
                }
                otherwise
            }
        };
        self.variables.truncate(seen);
        self.leave();
        into.push(Node::Branch { is_with, condition, body, otherwise });
        Ok(())
    }

    /// A body whose variables end with it.
    fn body_of_branch(&mut self) -> Result<(Body, Stop), String> {
        let seen = self.variables.len();
        let body = self.body()?;
        self.variables.truncate(seen);
        Ok(body)
    }

    fn range(&mut self, mut words: Words, into: &mut Body) -> Result<(), String> {
        let line = words.line;
        self.enter(line)?;
        let seen = self.variables.len();
        let over = self.pipeline(&mut words, "{{range}}")?;
        words.finish("{{range}}")?;
        self.loops = self.loops.saturating_add(1);
        let (body, end) = self.body_of_branch()?;
        self.loops = self.loops.saturating_sub(1);
        let otherwise = match end {
            Stop::End(_) => Body::new(),
            Stop::Text => return Err(format!("line {line}: {{{{range}}}} without {{{{end}}}}")),
            Stop::Else(mut words, line) => {
                words.finish("{{else}}")?;
                self.until_end(line)?
            }
        };
        self.variables.truncate(seen);
        self.leave();
        into.push(Node::Range { over, body, otherwise });
        Ok(())
    }

    /// A pipeline up to the end of the action or a closing parenthesis.
    fn pipeline(&mut self, words: &mut Words, place: &str) -> Result<Pipeline, String> {
        let line = words.line;
        let (variables, assigns) = Self::declarations(words, place)?;
        let mut commands = Vec::new();
        loop {
            commands.push(self.command(words, place, commands.is_empty())?);
            words.skip_blanks();
            if words.words.next_if_eq(&Word::Pipe).is_none() {
                break;
            }
        }
        if !assigns {
            // Seen from here on, not in the pipeline itself.
            self.variables.extend(variables.iter().cloned());
        }
        Ok(Pipeline { variables, assigns, commands, line })
    }

    /// `$x :=`, `$x =`, `$i, $x :=`
    fn declarations(words: &mut Words, place: &str) -> Result<(Vec<String>, bool), String> {
        words.skip_blanks();
        let start = words.words.at;
        let mut names = Vec::new();
        while let Some(Word::Variable(name)) = words.words.next_if(|word| matches!(word, Word::Variable(_))) {
            names.push(name);
            words.skip_blanks();
            match words.words.next() {
                Some(Word::Comma) => words.skip_blanks(),
                Some(word @ (Word::Declare | Word::Assign)) => {
                    let most = if place == "{{range}}" { 2 } else { 1 };
                    if names.len() > most {
                        return Err(words.error(&format!("too many variables declared in {place}")));
                    }
                    // Whether an assigned variable is there is asked when it is executed, as in Go.
                    let assigns = word == Word::Assign;
                    return Ok((names, assigns));
                }
                _ => break,
            }
        }
        words.words.at = start;
        Ok((Vec::new(), false))
    }

    fn command(&mut self, words: &mut Words, place: &str, is_first: bool) -> Result<Command, String> {
        words.skip_blanks();
        let first = self.operand(words, place)?;
        let mut arguments = Vec::new();
        loop {
            let parted = words.words.next_if_eq(&Word::Space).is_some();
            words.skip_blanks();
            match words.words.peek() {
                None | Some(Word::Pipe | Word::Close) => break,
                Some(word) if !parted => {
                    return Err(words.error(&format!("unexpected {} in {place}", word.shown())));
                }
                Some(_) => arguments.push(self.operand(words, place)?),
            }
        }
        // Go refuses only what can never be called; the rest fails when it is executed.
        let constant = matches!(
            first,
            Operand::Bool(_)
                | Operand::Dot
                | Operand::Nil
                | Operand::Int(_)
                | Operand::Float(_)
                | Operand::Text(_)
        );
        if constant && !is_first {
            return Err(words.error("non executable command behind `|`"));
        }
        Ok(Command { first, arguments })
    }

    fn operand(&mut self, words: &mut Words, place: &str) -> Result<Operand, String> {
        let Some(word) = words.words.next() else {
            return Err(words.error(&format!("missing value for {place}")));
        };
        Ok(match word {
            Word::Dot => Operand::Dot,
            Word::Text(text) => Operand::Text(text),
            Word::Int(number) => Operand::Int(number),
            Word::Float(number) => Operand::Float(number),
            Word::Identifier(name) => match name.as_str() {
                "true" => Operand::Bool(true),
                "false" => Operand::Bool(false),
                "nil" => Operand::Nil,
                name => Operand::Function(Function::named(name).map_err(|error| words.error(&error))?),
            },
            Word::Field(name) => Operand::Field(fields(words, vec![name])),
            Word::Variable(name) => {
                if !self.variables.contains(&name) {
                    return Err(words.error(&format!("undefined variable `{name}`")));
                }
                Operand::Variable(name, fields(words, Vec::new()))
            }
            Word::Open => {
                self.enter(words.line)?;
                let seen = self.variables.len();
                let inner = self.pipeline(words, "parentheses")?;
                self.variables.truncate(seen);
                words.skip_blanks();
                if words.words.next_if_eq(&Word::Close).is_none() {
                    return Err(words.error("`(` without `)`"));
                }
                self.leave();
                Operand::Pipeline(Box::new(inner), fields(words, Vec::new()))
            }
            word => return Err(words.error(&format!("unexpected {} in {place}", word.shown()))),
        })
    }
}

/// The fields that follow at once.
fn fields(words: &mut Words, mut fields: Vec<String>) -> Vec<String> {
    while let Some(Word::Field(name)) = words.words.next_if(|word| matches!(word, Word::Field(_))) {
        fields.push(name);
    }
    fields
}
